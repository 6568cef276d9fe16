"""The parts of a run of crashes: upstream, database, folder, service, clients, and the audit at the end."""

import asyncio
import random
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import argon2

from pixyproxy.application.maintenance.findings import Action, Finding
from pixyproxy.containers import Container, build_container
from pixyproxy.settings import Settings
from tests.faults.audit import Audit
from tests.faults.charged import CAP
from tests.faults.clients import PASSWORD, USERS, Client
from tests.faults.databases import Database, database
from tests.faults.forked_service import ForkedService
from tests.faults.history import History
from tests.faults.ledger import Ledger, RandomUpstream
from tests.fixtures.service import environment, pixyproxy

CLIENTS = 8
LEASE_S = 0.6


class Disagreement(AssertionError):
    """Raised when something was lost, altered, paid for twice or left over."""


class Harness:
    """One run of many crashes on one database and one folder."""

    def __init__(self, folder: Path, kind: Database, upstream: RandomUpstream, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.values = {
            **kind.values,
            "PIXYPROXY_GENERATOR": "openai",
            "PIXYPROXY_LEASE_S": str(LEASE_S),
            "PIXYPROXY_ANONYMOUS": "write",
            "OPENAI_API_KEY": "sk-of-the-fake",
            "OPENAI_BASE_URL": upstream.base_url,
            "PIXYPROXY_PRICES": str(folder / "prices.toml"),
            # Earlier versions rescued pictures into the folder for temporary files: this run needs its own.
            "TMPDIR": str(folder / "tmp"),
        }
        self.history = History()
        self.ledger = Ledger(upstream)
        self.audit = Audit(folder / "images", kind, self.ledger, self.history)
        self.service = ForkedService(folder, environment(folder, **self.values))
        self.reconciled: Counter[Action] = Counter()
        self._database = kind
        self._upstream = upstream
        self._log_read = 0
        self._clients = [Client(number, self.history, random.Random(self.chance.random())) for number in range(CLIENTS)]

    def prepare(self) -> None:
        """Make tables, prices, a cap and users, with password hashes that are cheap to verify."""
        Path(self.folder, "prices.toml").write_text('[[prices]]\nmodel = "*"\nusd_per_image = "0.04"\n')
        done = pixyproxy(self.folder, "migrate", **self.values)
        assert done.returncode == 0, done.stderr
        self._database.query(CAP)
        quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        for name in USERS:
            self._database.query(f"INSERT INTO roster (`user`, `password`) VALUES ('{name}', '{quick.hash(PASSWORD)}')")

    def container(self) -> Container:
        """Return the container of a second process on the same database and folder."""
        names = {str(field.validation_alias) for field in Settings.model_fields.values()}
        given = {name: value for name, value in environment(self.folder, **self.values).items() if name in names}
        return build_container(Settings(**given))  # type: ignore[arg-type, call-arg]

    async def traffic(self, after_s: float) -> None:
        """Let all clients act, and kill the service `after_s` seconds after a generation reached the upstream."""
        stop, before = asyncio.Event(), len(self._upstream.requests)
        running = [asyncio.create_task(client.run(self.service.url, stop)) for client in self._clients]
        try:
            while len(self._upstream.requests) == before:
                await asyncio.sleep(0.002)
                for task in running:
                    if task.done():
                        await task
            await asyncio.sleep(after_s)
            await asyncio.to_thread(self.service.kill)
        finally:
            stop.set()
            await asyncio.gather(*running)

    async def reconcile(self, container: Container) -> None:
        """Reconcile until nothing is found and no row is generating or queued."""
        for _ in range(50):
            findings = [finding async for finding in _looked_through(container)]
            self.reconciled.update(finding.action for finding in findings)
            if any(finding.action is Action.REPORT for finding in findings):
                raise Disagreement(f"the reconciler reports {findings}")
            if not findings and not await asyncio.to_thread(self.audit.generating):
                return
            await asyncio.sleep(0.1)
        raise Disagreement(f"reconciling finds something again and again: {findings}")

    def reconcile_by_command(self) -> None:
        """Reconcile once by the command line."""
        done = pixyproxy(self.folder, "reconcile", "--apply", **self.values)
        if done.returncode != 0:
            raise Disagreement(f"reconcile: exit status {done.returncode}: {done.stdout} {done.stderr}")

    def inspect(self, *, anew: bool = False) -> None:
        """Raise Disagreement if the audit finds a problem or the service logged a traceback."""
        problems = self.audit.problems(anew=anew)
        with self.service.log_path.open("rb") as log:
            log.seek(self._log_read)
            said = log.read()
            self._log_read = log.tell()
        if found := re.search(rb"Traceback .*(?:\n.*){0,40}", said):
            problems.append(found[0].decode())
        if problems:
            raise Disagreement("\n".join([f"{len(problems)} problems", *problems[:20], f"see {self.folder}"]))

    def check_at_the_end(self) -> None:
        """Run the commands an operator would run, and audit with all hashes computed again."""
        for arguments, words in ((("reconcile",), "nothing to reconcile"), (("check", "--deep"), " 0 damaged")):
            done: subprocess.CompletedProcess[str] = pixyproxy(self.folder, *arguments, **self.values)
            if done.returncode != 0 or words not in done.stdout:
                raise Disagreement(f"{arguments}: exit status {done.returncode}: {done.stdout} {done.stderr}")
        self.inspect(anew=True)


async def _looked_through(container: Container) -> AsyncIterator[Finding]:
    reconciler = container.reconciler()
    for look in (reconciler.interrupted, reconciler.sweep):
        async for finding in look(apply=True):
            yield finding


@contextmanager
def harness(folder: Path, database_name: str, seed: int) -> Iterator[Harness]:
    """Yield a prepared harness; at the end, kill its service and drop its database."""
    (folder / "tmp").mkdir(parents=True)
    chance = random.Random(seed)
    with database(database_name, folder) as kind, RandomUpstream(chance) as upstream:
        made = Harness(folder, kind, upstream, chance.getrandbits(32))
        made.prepare()
        try:
            yield made
        finally:
            made.service.kill()
