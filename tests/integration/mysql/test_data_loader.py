"""MySQL: concurrent reads of images, users and keys share few queries and return the right rows."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sql.session import Parameters, Row
from pixyproxy.domain.errors import DataValidationError, DBConnectionError, ImageNotFoundError, UserNotFoundError
from pixyproxy.domain.image import new_guid
from pixyproxy.domain.user import User
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database


class Watch:
    """Counter of the queries of all sessions, which can block one after the server's response."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[str] = []
        self.answered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        original = MySQLSession.fetch

        def fetch(session: MySQLSession, sql: str, parameters: Parameters) -> Sequence[Row]:
            self.queries.append(sql)
            rows = original(session, sql, parameters)
            self.answered.set()
            assert self.go_on.wait(4)
            return rows

        monkeypatch.setattr(MySQLSession, "fetch", fetch)

    def hold(self) -> None:
        self.queries.clear()
        self.answered.clear()
        self.go_on.clear()


@pytest.fixture(params=[1, 4], ids=["one connection", "four connections"])
async def database(empty_mysql: MySQLSettings, request: pytest.FixtureRequest) -> AsyncIterator[MySQLDatabase]:
    database = empty_mysql.database(pool_size=request.param)
    await database.open("test")
    yield database
    await database.close("test")


@pytest.fixture
async def images(database: MySQLDatabase) -> SQLImageRepository:
    return SQLImageRepository(database)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


async def test_a_hundred_reads_are_two_queries(images: SQLImageRepository, watch: Watch) -> None:
    made = [await add_ready(images) for _ in range(8)]
    watch.hold()
    first = asyncio.create_task(images.get(made[0].guid))
    assert await asyncio.to_thread(watch.answered.wait, 20)
    missing = new_guid()
    wanted = [made[number % 8].guid for number in range(98)]
    reads = [asyncio.create_task(images.get(guid)) for guid in [*wanted, missing, made[0].guid.upper(), "no guid 🦆"]]
    await asyncio.sleep(0)
    watch.go_on.set()
    assert await first == made[0]
    *found, lost, wrong_case, no_guid = await asyncio.gather(*reads, return_exceptions=True)
    assert found == [made[number % 8] for number in range(98)]
    assert [type(error) for error in (lost, wrong_case, no_guid)] == [ImageNotFoundError] * 3
    # The first, a hundred of those that arrived meanwhile, and the remaining one.
    assert len(watch.queries) == 3


async def test_a_read_sees_everything_committed_before_the_call(
    images: SQLImageRepository, watch: Watch, empty_mysql: MySQLSettings
) -> None:
    image = await add_ready(images)
    watch.hold()
    first = asyncio.create_task(images.get(image.guid))
    assert await asyncio.to_thread(watch.answered.wait, 20)
    empty_mysql.query("UPDATE images SET prompt = 'newer' WHERE guid = %s", image.guid)
    second = asyncio.create_task(images.get(image.guid))
    await asyncio.sleep(0)
    watch.go_on.set()
    assert (await first).request.prompt == image.request.prompt
    assert (await second).request.prompt == "newer"


async def test_a_connection_that_is_lost_is_replaced_for_all_of_a_batch(
    images: SQLImageRepository, empty_mysql: MySQLSettings
) -> None:
    made = [await add_ready(images) for _ in range(4)]
    for (connection,) in empty_mysql.query(
        "SELECT id FROM information_schema.processlist WHERE db = %s AND id != CONNECTION_ID()", empty_mysql.name
    ):
        empty_mysql.query(f"KILL {connection}")
    assert list(await asyncio.gather(*(images.get(image.guid) for image in made))) == made


async def test_each_caller_gets_the_error_of_an_outage(private_mariadb: PrivateMariaDB) -> None:
    with fresh_database(private_mariadb.settings) as settings:
        database = settings.database()
        images = SQLImageRepository(database)
        await images.open()
        made = await add_ready(images)
        private_mariadb.stop()
        try:
            errors = await asyncio.gather(*(images.get(made.guid) for _ in range(20)), return_exceptions=True)
        finally:
            private_mariadb.start()
        assert [type(error) for error in errors] == [DBConnectionError] * 20
        assert len({id(error) for error in errors}) == 20
        assert await images.get(made.guid) == made
        await images.close()


async def test_users_and_keys_that_are_looked_up_together(database: MySQLDatabase, watch: Watch) -> None:
    users, keys = SQLUserRepository(database), SQLApiKeyRepository(database)
    for name in ("alice", "bob", "密"):
        await users.add(User(name, f"class of {name}", "h"))
    watch.hold()
    first = asyncio.create_task(users.get("alice"))
    assert await asyncio.to_thread(watch.answered.wait, 20)
    names = ["alice", "bob", "密", "bob", "alice ", "Alice", "\ud800", "nobody"]
    requested = [asyncio.create_task(users.get(name)) for name in names]
    no_keys = [asyncio.create_task(keys.find(digest)) for digest in ("0" * 64, "1" * 64)]
    await asyncio.sleep(0)
    watch.go_on.set()
    assert (await first).class_key == "class of alice"
    *found, with_space, capital, no_text, nobody = await asyncio.gather(*requested, return_exceptions=True)
    assert [user.username for user in found if isinstance(user, User)] == ["alice", "bob", "密", "bob"]
    assert [type(error) for error in (with_space, capital, nobody)] == [UserNotFoundError] * 3
    assert type(no_text) is DataValidationError
    assert await asyncio.gather(*no_keys) == [None, None]
