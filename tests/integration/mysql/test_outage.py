"""MySQL: servers that stop, crash, hang or speak another protocol, under an open repository."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.migrations import migrate
from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.image import Failure, Image, ImageChanges, Status, new_guid
from pixyproxy.domain.query import ImageQuery
from pixyproxy.domain.user import User
from tests.conformance.contracts.api_key_repository import make_key
from tests.conformance.contracts.image_repository import NOW, add_ready, make_batch, make_draft, make_result
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, free_port, fresh_database

PATIENCE_SECONDS = 6
"""Upper bound of a call: 5 s are promised, the rest allows for a busy machine."""


@pytest.fixture
def settings(private_mariadb: PrivateMariaDB) -> Iterator[MySQLSettings]:
    with fresh_database(private_mariadb.settings) as settings:
        yield settings


@pytest.fixture
async def database(settings: MySQLSettings) -> AsyncIterator[MySQLDatabase]:
    database = settings.database()
    await database.open("test")
    yield database
    await database.close("test")


def every_call(database: MySQLDatabase) -> dict[str, Callable[[], Awaitable[object]]]:
    images, users, guid = SQLImageRepository(database), SQLUserRepository(database), new_guid()
    keys = SQLApiKeyRepository(database)
    return {
        "ping": images.ping,
        "add": lambda: images.add(make_draft()),
        "find_claimed": lambda: images.find_claimed("", "key"),
        "add_batch": lambda: images.add_batch(make_batch(2)),
        "batch": lambda: images.batch(guid),
        "find_held": lambda: images.find_held("a" * 64),
        "find_recent": lambda: images.find_recent("", "a" * 64, NOW),
        "predecessors": lambda: images.predecessors("", "a" * 64, ended_since=NOW, left_since=NOW),
        "mark_caller_left": lambda: images.mark_caller_left([guid], NOW),
        "mark_ready": lambda: images.mark_ready(guid, make_result(), NOW),
        "mark_failed": lambda: images.mark_failed(guid, Status.FAILED, Failure("x", "y"), NOW),
        "get": lambda: images.get(guid),
        "search": lambda: images.search(ImageQuery(terms=("duck",))),
        "update": lambda: images.update(guid, ImageChanges(tags=("x",)), NOW),
        "delete": lambda: images.delete(guid),
        "cancel": lambda: images.cancel(guid),
        "user get": lambda: users.get("alice"),
        "user list": users.list,
        "user add": lambda: users.add(User("alice", None, "h")),
        "user set": lambda: users.update("alice", {"password_hash": "h"}),
        "user remove": lambda: users.remove("alice"),
        "key add": lambda: keys.add(make_key()),
        "key find": lambda: keys.find("digest"),
        "key list": keys.list,
        "key remove": lambda: keys.remove("AbCdEfGh"),
    }


async def outcomes_in_time(database: MySQLDatabase) -> dict[str, str]:
    """Start all calls at once and return the class name of each one's result or exception."""
    calls = every_call(database)
    async with asyncio.timeout(PATIENCE_SECONDS):
        results = await asyncio.gather(*(call() for call in calls.values()), return_exceptions=True)
    return {name: type(result).__name__ for name, result in zip(calls, results, strict=True)}


def all_down(database: MySQLDatabase) -> dict[str, str]:
    return dict.fromkeys(every_call(database), "DBConnectionError")


async def test_every_call_fails_while_the_server_is_away_and_works_once_it_is_back(
    private_mariadb: PrivateMariaDB, database: MySQLDatabase
) -> None:
    images = SQLImageRepository(database)
    before = await add_ready(images, tags=("duck",))
    private_mariadb.stop()
    try:
        assert await outcomes_in_time(database) == all_down(database)
    finally:
        private_mariadb.start()
    assert await images.get(before.guid) == before
    after = await add_ready(images)
    assert (await images.search(ImageQuery())).items == (after, before)


async def test_a_restart_between_two_calls_is_not_noticed(
    private_mariadb: PrivateMariaDB, database: MySQLDatabase
) -> None:
    images = SQLImageRepository(database)
    image = await add_ready(images)
    await asyncio.gather(*(images.get(image.guid) for _ in range(20)))
    private_mariadb.restart()
    assert await images.get(image.guid) == image
    private_mariadb.restart()
    await images.update(image.guid, ImageChanges(tags=("x",)), NOW)
    private_mariadb.restart()
    results = await asyncio.gather(*(images.add(make_draft()) for _ in range(8)))
    assert len({result.guid for result in results}) == 8


async def test_acknowledged_writes_survive_a_crash(private_mariadb: PrivateMariaDB, database: MySQLDatabase) -> None:
    images = SQLImageRepository(database)
    acknowledged: list[Image] = []

    async def add_until_it_fails() -> None:
        while True:
            acknowledged.append(await images.add(make_draft(tags=("a", "b"), prompt="a few words to be found by")))

    writers = [asyncio.create_task(add_until_it_fails()) for _ in range(4)]
    while len(acknowledged) < 20:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(private_mariadb.kill)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            ends = await asyncio.gather(*writers, return_exceptions=True)
        assert {type(end) for end in ends} <= {DBConnectionError} | set(DBConnectionError.__subclasses__())
    finally:
        private_mariadb.start()
    for image in acknowledged:
        assert await images.get(image.guid) == image


async def test_connections_that_the_server_closed_are_replaced(
    private_mariadb: PrivateMariaDB, settings: MySQLSettings, database: MySQLDatabase
) -> None:
    images = SQLImageRepository(database)
    image = await add_ready(images)
    await asyncio.gather(*(images.get(image.guid) for _ in range(20)))
    sessions = settings.query("SELECT id FROM information_schema.processlist WHERE db = %s", settings.name)
    for (session,) in sessions:
        with contextlib.suppress(Exception):  # the querying connection is among them
            private_mariadb.settings.query("KILL %s", session)
    assert await images.get(image.guid) == image
    assert await asyncio.gather(*(images.get(image.guid) for _ in range(20))) == [image] * 20


async def test_a_server_that_freezes_is_an_outage_until_it_thaws(
    private_mariadb: PrivateMariaDB, database: MySQLDatabase
) -> None:
    images = SQLImageRepository(database)
    image = await add_ready(images)
    os.kill(private_mariadb.pid, signal.SIGSTOP)
    try:
        while not is_stopped(private_mariadb.pid):
            await asyncio.sleep(0.01)
        assert await outcomes_in_time(database) == all_down(database)
    finally:
        os.kill(private_mariadb.pid, signal.SIGCONT)
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(DBConnectionError):
                assert await images.get(image.guid) == image
                break


def is_stopped(pid: int) -> bool:
    """Return whether every thread of a process is stopped: until then it may answer."""
    stats = [path.read_text().rpartition(")")[2].split() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(fields[0] == "T" for fields in stats)


@contextmanager
def listener(greeting: bytes | None) -> Iterator[int]:
    """Yield a port that accepts connections and sends nothing, or one message only."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    taken.append(client)
                    if greeting is not None:
                        client.sendall(greeting)
                        client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in taken:
                client.close()


async def fails_to_open(port: int) -> str:
    database = MySQLDatabase("127.0.0.1", port, "root", "", "pixyproxy")
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(DBConnectionError) as caught:
            await SQLImageRepository(database).open()
    with pytest.raises(DBConnectionError):
        await asyncio.wait_for(migrate(database.server), PATIENCE_SECONDS)
    while any(thread.name.startswith("mysql-") for thread in threading.enumerate()):
        await asyncio.sleep(0.01)
    return caught.value.message


async def test_a_server_that_never_answers() -> None:
    with listener(None) as port:
        await fails_to_open(port)


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x04\x00\x00\x00\x0aab\x00", bytes(200)],
)
async def test_a_server_that_is_not_mysql(greeting: bytes) -> None:
    with listener(greeting) as port:
        await fails_to_open(port)


async def test_nothing_listens_there() -> None:
    assert "DB_HOST and DB_PORT" in await fails_to_open(free_port())


async def test_a_host_that_does_not_exist() -> None:
    database = MySQLDatabase("no-such-host.invalid", 3306, "root", "", "pixyproxy")
    with pytest.raises(DBConnectionError):
        await SQLImageRepository(database).open()
