"""Three services on two machines lose a process, a database node, the store and Redis in turn, and no picture."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from pixyproxy.adapters.mysql.migrations import migrate
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.user import User
from tests.faults.charged import CAP, disagreements
from tests.faults.databases import MySQLDatabase
from tests.faults.deployment import content_hash, create, wait_until
from tests.faults.machines.load import CLIENTS, Load
from tests.fixtures.haproxy_server import ACCOUNT, HAProxy
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.redis_server import PrivateRedis
from tests.fixtures.s3.seaweedfs import SeaweedFS
from tests.fixtures.service import Service, pixyproxy
from tests.fixtures.sql.galera import NODES, GaleraCluster
from tests.fixtures.sql.mysql_servers import free_port, in_thread

MACHINES = ("a", "a", "b")
"""The machine of each service: those of one share a data folder."""
DOWN_S = 1.5
T = TypeVar("T")
TABLES = ("images", "charges", "budget_accounts", "daily_sums", "image_postings")
DATABASE = "pixyproxy_machines"
MARK = "UPDATE roster SET class_key = CONCAT(class_key, :mark) WHERE `user` = :user"

pytestmark = [pytest.mark.slow, pytest.mark.mysql]


@dataclass
class Machines:
    """All parts of the installation."""

    galera: GaleraCluster
    store: SeaweedFS
    redis: PrivateRedis
    upstream: FakeUpstream
    proxy: HAProxy
    services: list[Service]

    def query(self, sql: str, node: int = 0) -> list[tuple[object, ...]]:
        """Run a statement on a node, after everything that was committed on any."""
        database = MySQLDatabase(self.galera.settings(node, DATABASE))
        return database.query(f"SET STATEMENT wsrep_sync_wait = 1 FOR {sql}")

    def statuses(self) -> dict[str, list[str]]:
        """Return the statuses of the rows of each prompt."""
        found: dict[str, list[str]] = {}
        for prompt, status in self.query("SELECT prompt, status FROM images ORDER BY id"):
            found.setdefault(str(prompt), []).append(str(status))
        return found

    def command(self, machine: str, *arguments: str) -> str:
        """Run a command on a machine and return its output."""
        service = self.services[MACHINES.index(machine)]
        done = pixyproxy(service.folder, *arguments, **service.values)
        assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
        return done.stdout


@pytest.fixture
def machines(
    galera: GaleraCluster, private_s3: SeaweedFS, private_redis: PrivateRedis, haproxy_binary: str, tmp_path: Path
) -> Iterator[Machines]:
    """Yield the installation, all of which runs."""
    galera.account(ACCOUNT)
    galera.account("pixyproxy", "secret", f"ALL ON {DATABASE}.*")
    in_thread(lambda: migrate(galera.settings(0, DATABASE).database().server))
    ports = [free_port() for _ in MACHINES]
    databases = [node.settings.port for node in galera.nodes]
    with (
        FakeUpstream(default="ok delay=0.3") as upstream,
        HAProxy(haproxy_binary, ports, databases) as proxy,
        ExitStack() as stack,
    ):
        common = _settings(tmp_path, upstream, proxy, private_s3, private_redis)
        services = []
        for number, (machine, port) in enumerate(zip(MACHINES, ports, strict=True)):
            data = {"PIXYPROXY_DATA_DIR": str(tmp_path / machine / "data"), "PIXYPROXY_PORT": str(port)}
            (tmp_path / machine).mkdir(exist_ok=True)
            service = Service(tmp_path / f"process-{number}", **common | data)
            services.append(stack.enter_context(service))
        made = Machines(galera, private_s3, private_redis, upstream, proxy, services)
        made.query(CAP)
        yield made


def _settings(
    folder: Path, upstream: FakeUpstream, proxy: HAProxy, store: SeaweedFS, redis: PrivateRedis
) -> dict[str, str]:
    prices, temporary = folder / "prices.toml", folder / "tmp"
    prices.write_text('[[prices]]\nmodel = "*"\nusd_per_image = "0.04"\n')
    temporary.mkdir()
    return {
        "PIXYPROXY_REPOSITORY": "mysql",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(proxy.database_port),
        "DB_USER": "pixyproxy",
        "DB_PASSWORD": "secret",
        "DB_NAME": DATABASE,
        **store.server.environment("machines"),
        "PIXYPROXY_LIMITS_URL": redis.url,
        "PIXYPROXY_IMAGES_PER_MINUTE": "60000",
        "PIXYPROXY_SECRET_KEY": "the same on all machines of the test",
        "PIXYPROXY_GENERATOR": "openai",
        "OPENAI_API_KEY": "sk-of-the-fake",
        "OPENAI_BASE_URL": upstream.base_url,
        "PIXYPROXY_PRICES": str(prices),
        "PIXYPROXY_ANONYMOUS": "write",
        "PIXYPROXY_LEASE_S": "4",
        "TMPDIR": str(temporary),
    }


@contextmanager
def _under_load(machines: Machines) -> Iterator[Load]:
    load = Load(machines.proxy.url)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def _lose(load: Load, name: str, kill: Callable[[], None], back: Callable[[], T]) -> T:
    """Kill a part under load, bring it back, and wait until pictures are made again without anybody's help."""
    _await_pictures(load, f"before the loss of {name}")
    kill()
    began = time.monotonic()
    time.sleep(DOWN_S)
    result = back()
    returned = time.monotonic()
    _await_pictures(load, f"after the loss of {name}")
    during = sum(began < at < returned for at in load.successes)
    first = min(at for at in load.successes if at > returned)
    print(f"{name}: away {returned - began:.1f} s, {during} pictures meanwhile, one {first - returned:.1f} s later")
    return result


def _await_pictures(load: Load, words: str) -> None:
    before = len(load.successes)
    wait_until(lambda: load.unexpected or len(load.successes) >= before + 2 * CLIENTS, f"pictures are made {words}")


async def test_a_transaction_that_another_node_undoes_at_its_commit_is_repeated_as_a_whole(
    galera: GaleraCluster,
) -> None:
    settings, other = (galera.settings(node, "pixyproxy_conflicts") for node in (0, 1))
    await migrate(settings.database().server)
    database = settings.database()
    users = SQLUserRepository(database)
    await users.open()
    for name in ("alice", "bob"):
        await users.add(User(name, "", "h"))
    tries = []

    def job(session: Session) -> None:
        tries.append(1)
        for name in ("alice", "bob"):
            session.change(MARK, {"user": name, "mark": "x"})
        if len(tries) == 1:
            # The other node, once it has the row, does not know of the locks here, and is certified first.
            other.query(
                "SET STATEMENT wsrep_sync_wait = 15 FOR UPDATE roster SET class_key = 'y' WHERE `user` = 'alice'"
            )

    await database.write(job)
    assert [user.class_key for user in await users.list()] == ["yx", "x"]
    assert len(tries) == 2
    await users.close()


def test_nothing_is_lost_or_paid_twice_while_each_part_is_killed_in_turn(machines: Machines) -> None:
    first, second, _ = machines.galera.nodes
    with _under_load(machines) as load, ThreadPoolExecutor(1) as pool:
        for number, service in enumerate(machines.services):
            _lose(load, f"service {number}", partial(_kill, service), service.start)
        # A node takes its time, in which other parts may fail.
        back = _lose(load, "the node that takes the writes", first.kill, lambda: pool.submit(_rejoin, machines, 0))
        _lose(load, "the store", machines.store.kill, machines.store.start)
        _lose(load, "Redis", machines.redis.stop, machines.redis.start)
        back.result()
        back = _lose(load, "another node", second.kill, lambda: pool.submit(_rejoin, machines, 1))
        back.result()
        _await_pictures(load, "after all")
    print(dict(load.answers))
    assert load.unexpected == []
    wait_until(lambda: _is_settled(machines), "nothing is generating or queued any more")
    _everything_is_accounted_for(machines, load)
    _everything_is_whole(machines, load)
    for service in machines.services:
        assert "Traceback" not in service.log


def _kill(service: Service) -> None:
    service.signal(signal.SIGKILL)
    assert service.wait() == -signal.SIGKILL


def _rejoin(machines: Machines, node: int) -> None:
    machines.galera.nodes[node].rejoin()
    wait_until(lambda: machines.galera.nodes[node].state() == ("Synced", NODES), "the node takes part again")


def _is_settled(machines: Machines) -> bool:
    rows = machines.query("SELECT status FROM images WHERE status IN ('generating', 'queued')")
    rescued = [path for service in machines.services for path in _rescued(service)]
    return not rows and not rescued


def _rescued(service: Service) -> list[Path]:
    return list(Path(service.values["PIXYPROXY_DATA_DIR"], "rescue").glob("*.bin"))


def _everything_is_accounted_for(machines: Machines, load: Load) -> None:
    charges = Counter(record.json["prompt"] for record in machines.upstream.charges)
    statuses = machines.statuses()
    assert [prompt for prompt, count in charges.items() if count > 1] == []
    assert len(charges) > 50
    for prompt in charges:
        # Rows whose call was stopped before it began may have failed.
        paid = [status for status in statuses.get(prompt, []) if status != "failed"]
        assert paid in (["ready"], ["unknown"]), (prompt, statuses.get(prompt))
    known = {str(guid): (str(prompt), status) for guid, prompt, status in _rows(machines)}
    for guid, (prompt, _) in load.acknowledged.items():
        assert known.get(guid) == (prompt, "ready")
    assert load.mentioned.items() <= {guid: prompt for guid, (prompt, _) in known.items()}.items()
    # Only the kill of a service loses what becomes of a call: at most what it had in flight.
    unknown = [prompt for prompt, found in statuses.items() if "unknown" in found]
    assert len(unknown) <= len(MACHINES) * CLIENTS, unknown
    assert disagreements(machines.query) == []


def _rows(machines: Machines) -> list[tuple[object, ...]]:
    return machines.query("SELECT guid, prompt, status FROM images")


def _everything_is_whole(machines: Machines, load: Load) -> None:
    clients = [service.client() for service in machines.services]
    for number, (guid, (_, sha256)) in enumerate(load.acknowledged.items()):
        client = clients[number % len(clients)]
        image = client.get(f"/image/{guid}").json()
        assert image["sha256"] == content_hash(client, image) == sha256
    for number, (key, guid) in enumerate(load.by_key.items()):
        assert create(clients[number % len(clients)], key, key).json()["guid"] == guid
    for client in clients:
        client.close()
    for machine in ("a", "b"):
        assert "nothing to reconcile" in machines.command(machine, "reconcile")
    assert " 0 damaged" in machines.command("a", "check", "--deep")
    wait_until(lambda: len({_checksums(machines, node) for node in range(NODES)}) == 1, "all nodes hold the same")


def _checksums(machines: Machines, node: int) -> tuple[tuple[object, ...], ...]:
    return tuple(machines.query(f"CHECKSUM TABLE {', '.join(TABLES)}", node))
