"""MySQL: transactions that compete for locks, lose their connection, or run out of time."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql import connection_pool as threads
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sql.session import Row, Session
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    SchemaVersionError,
    UserNotFoundError,
)
from pixyproxy.domain.generation import IdempotencyClaim
from pixyproxy.domain.image import ImageChanges, new_guid
from pixyproxy.domain.user import User
from tests.conformance.contracts.image_repository import NOW, add_ready, make_batch, make_draft
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database

SET_KEY = "UPDATE roster SET class_key = CONCAT(class_key, :mark) WHERE `user` = :user"


@pytest.fixture
async def users(database: MySQLDatabase) -> SQLUserRepository:
    users = SQLUserRepository(database)
    for name in ("alice", "bob"):
        await users.add(User(name, "", "h"))
    return users


async def test_a_deadlock_is_resolved_by_trying_again(database: MySQLDatabase, users: SQLUserRepository) -> None:
    both_hold_one = threading.Barrier(2)
    tries = {"1": 0, "2": 0}

    def job(mark: str, names: list[str]) -> "asyncio.Future[None]":
        def transaction(session: Session) -> None:
            tries[mark] += 1
            session.change(SET_KEY, {"user": names[0], "mark": mark})
            with contextlib.suppress(threading.BrokenBarrierError):
                both_hold_one.wait(3)
            session.change(SET_KEY, {"user": names[1], "mark": mark})
            both_hold_one.abort()

        return asyncio.ensure_future(database.write(transaction))

    await asyncio.gather(job("1", ["alice", "bob"]), job("2", ["bob", "alice"]))
    assert sorted(tries.values()) == [1, 2]
    keys = {user.class_key for user in await users.list()}
    assert keys in ({"12"}, {"21"})


async def test_a_lock_that_is_given_back_is_waited_for(
    empty_mysql: MySQLSettings, database: MySQLDatabase, users: SQLUserRepository
) -> None:
    with closing(empty_mysql.connect()) as other:
        other.begin()
        other.cursor().execute("UPDATE roster SET class_key = 'held' WHERE `user` = 'alice'")
        # Longer than the server lets a statement wait for a lock.
        waiting = asyncio.create_task(users.update("alice", {"password_hash": "new"}))
        await asyncio.sleep(2.5)
        other.commit()
    await waiting
    assert await users.get("alice") == User("alice", "held", "new")


async def test_a_lock_that_is_held_is_an_outage_and_nothing_is_written_later(
    empty_mysql: MySQLSettings, database: MySQLDatabase, users: SQLUserRepository
) -> None:
    with closing(empty_mysql.connect()) as other:
        other.begin()
        other.cursor().execute("UPDATE roster SET class_key = 'held' WHERE `user` = 'alice'")
        async with asyncio.timeout(6):
            with pytest.raises(DBConnectionError):
                await users.update("alice", {"password_hash": "new"})
        other.rollback()
    assert await asyncio.gather(*(users.get("alice") for _ in range(8))) == [User("alice", "", "h")] * 8
    await users.update("alice", {"password_hash": "newer"})


async def test_a_transaction_whose_connection_is_lost_is_repeated(
    empty_mysql: MySQLSettings, database: MySQLDatabase, users: SQLUserRepository
) -> None:
    tries = []

    def job(session: Session) -> str:
        tries.append(1)
        session.change(SET_KEY, {"user": "alice", "mark": "x"})
        if len(tries) == 1:
            ((own,),) = session.fetch("SELECT CONNECTION_ID()", {})
            empty_mysql.query("KILL %s", own)
        session.change(SET_KEY, {"user": "bob", "mark": "y"})
        return "done"

    assert await database.write(job) == "done"
    assert len(tries) == 2
    assert [user.class_key for user in await users.list()] == ["x", "y"]


async def test_a_connection_that_is_always_lost_is_not_tried_for_ever(
    empty_mysql: MySQLSettings, database: MySQLDatabase, users: SQLUserRepository
) -> None:
    tries = []

    def job(session: Session) -> None:
        tries.append(1)
        ((own,),) = session.fetch("SELECT CONNECTION_ID()", {})
        empty_mysql.query("KILL %s", own)
        session.change(SET_KEY, {"user": "alice", "mark": "x"})

    with pytest.raises(DBConnectionError):
        await database.write(job)
    assert len(tries) == 3
    assert (await users.get("alice")).class_key == ""


async def test_an_error_in_a_transaction_undoes_all_of_it(database: MySQLDatabase, users: SQLUserRepository) -> None:
    def job(session: Session) -> None:
        session.change(SET_KEY, {"user": "alice", "mark": "x"})
        raise UserNotFoundError("as a use of it would")

    for _ in range(6):
        with pytest.raises(UserNotFoundError):
            await database.write(job)
    assert await asyncio.gather(*(users.get("alice") for _ in range(8))) == [User("alice", "", "h")] * 8


async def test_a_write_reported_as_timed_out_is_not_committed(
    database: MySQLDatabase, users: SQLUserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def job(session: Session) -> None:
        session.change(SET_KEY, {"user": "alice", "mark": "x"})
        release.wait(10)

    monkeypatch.setattr(threads, "CALL_SECONDS", 0.1)
    with pytest.raises(DBConnectionError):
        await database.write(job)
    release.set()
    monkeypatch.undo()
    await users.update("alice", {"password_hash": "new"})
    assert await users.get("alice") == User("alice", "", "new")


async def test_a_cancelled_transaction_is_whole_or_not_at_all(
    database: MySQLDatabase, users: SQLUserRepository
) -> None:
    started, release = threading.Event(), threading.Event()

    def job(session: Session) -> None:
        session.change(SET_KEY, {"user": "alice", "mark": "x"})
        started.set()
        release.wait(10)
        session.change(SET_KEY, {"user": "bob", "mark": "x"})

    task = asyncio.create_task(database.write(job))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await users.update("alice", {"password_hash": "new"})
    assert len({user.class_key for user in await users.list()}) == 1


async def test_statements_that_the_server_refuses(database: MySQLDatabase, empty_mysql: MySQLSettings) -> None:
    images = SQLImageRepository(database)
    for draft in (make_draft(prompt="\ud800"), make_draft(prompt="\udc80"), make_draft(filename="x" * 256)):
        with pytest.raises(DataValidationError):
            await images.add(draft)
    assert empty_mysql.query("SELECT COUNT(*) FROM images") == ((0,),)
    assert await images.add(make_draft())


async def test_tables_that_vanish_are_named_as_the_cause(mysql_settings: MySQLSettings) -> None:
    images = SQLImageRepository(mysql_settings.database())
    await images.open()
    for table in ("image_postings", "images"):
        mysql_settings.query(f"DROP TABLE {table}")
    for call in (images.get(new_guid()), images.ping()):
        with pytest.raises(SchemaVersionError):
            await call
    mysql_settings.query(f"DROP DATABASE {mysql_settings.name}")
    with pytest.raises((SchemaVersionError, DBConnectionError)):
        await images.get(new_guid())
    await images.close()


async def test_a_slow_statement_is_stopped_on_the_server_too(
    database: MySQLDatabase, empty_mysql: MySQLSettings
) -> None:
    # A join that no server works through in its time. One of information_schema could crash MariaDB when it is stopped.
    numbers = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
    endless = f"{numbers} SELECT COUNT(*) FROM n a, n b, n c, n d"
    with pytest.raises(DBConnectionError):
        await database.read(lambda session: session.fetch(endless, {}))
    async with asyncio.timeout(10):
        while empty_mysql.query(
            "SELECT 1 FROM information_schema.processlist WHERE db = %s AND info LIKE 'WITH RECURSIVE%%'",
            empty_mysql.name,
        ):
            await asyncio.sleep(0.05)


async def test_how_a_session_is_set_up(database: MySQLDatabase) -> None:
    def job(session: Session) -> list[object]:
        return [
            session.fetch(f"SELECT @@SESSION.{name}", {})[0][0]
            for name in ("time_zone", "character_set_client", "collation_connection", "autocommit")
        ]

    assert await database.read(job) == ["+00:00", "utf8mb4", "utf8mb4_bin", 1]
    ((switches,),) = await database.read(lambda session: session.fetch("SELECT @@SESSION.optimizer_switch", {}))
    assert "index_merge_intersection=off" in switches
    assert "index_merge=on" in switches


async def test_two_repositories_share_a_database_until_both_have_closed(empty_mysql: MySQLSettings) -> None:
    database = empty_mysql.database(pool_size=2)
    images, users = SQLImageRepository(database), SQLUserRepository(database)
    await asyncio.gather(images.open(), users.open())
    image = await images.add(make_draft())
    await asyncio.gather(*(images.get(image.guid) for _ in range(50)))
    assert empty_mysql.connections() <= 2
    await images.close()
    await images.close()
    assert await users.list() == ()
    await users.close()
    with pytest.raises(DBConnectionError):
        await users.list()


# The connection is lost during a commit


class CommitCutter:
    """A proxy that cuts the connection at each COMMIT, before or after the server receives it."""

    def __init__(self, server: MySQLSettings) -> None:
        self._server = server
        self.cut: str | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @contextmanager
    def running(self) -> Iterator[MySQLSettings]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._start(self._accept, listener)
            try:
                yield replace(self._server, port=listener.getsockname()[1])
            finally:
                for used in (listener, *self._sockets):
                    with contextlib.suppress(OSError):
                        used.shutdown(socket.SHUT_RDWR)
                for thread in self._threads:
                    thread.join(10)
                for used in self._sockets:
                    used.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]  # any of the methods below
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((self._server.host, self._server.port))
                self._sockets += [client, server]
                self._start(self._requests, client, server)
                self._start(self._answers, client, server)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.cut and data.endswith(b"COMMIT"):
                    client.shutdown(socket.SHUT_RDWR)
                    if self.cut == "after":
                        server.sendall(data)
                    break
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def plain_mysql(private_mariadb: PrivateMariaDB) -> Iterator[MySQLSettings]:
    """Yield a database on a server without TLS, so that a proxy can parse the traffic."""
    with fresh_database(private_mariadb.settings) as settings:
        yield settings


async def test_an_add_whose_commit_took_effect_succeeds(plain_mysql: MySQLSettings) -> None:
    cutter = CommitCutter(plain_mysql)
    with cutter.running() as settings:
        images = SQLImageRepository(settings.database())
        await images.open()
        cutter.cut = "after"
        image = await images.add(make_draft(tags=("duck",)))
        assert await images.get(image.guid) == image
        assert plain_mysql.query("SELECT guid FROM images") == ((image.guid,),)
        await images.close()


async def test_an_add_whose_commit_was_lost_raises_an_error(plain_mysql: MySQLSettings) -> None:
    cutter = CommitCutter(plain_mysql)
    with cutter.running() as settings:
        images = SQLImageRepository(settings.database())
        await images.open()
        cutter.cut = "before"
        draft = make_draft()
        with pytest.raises(DBConnectionError):
            await images.add(draft)
        assert plain_mysql.query("SELECT guid FROM images") == ()
        cutter.cut = None
        assert (await images.add(draft)).guid == draft.guid
        await images.close()


async def test_a_batch_whose_commit_took_effect_succeeds(plain_mysql: MySQLSettings) -> None:
    cutter = CommitCutter(plain_mysql)
    with cutter.running() as settings:
        images = SQLImageRepository(settings.database())
        await images.open()
        cutter.cut = "after"
        drafts = make_batch(3, tags=("duck",), claim=IdempotencyClaim("", "key", "a" * 64))
        batch = await images.add_batch(drafts)
        assert batch == tuple(draft.recorded(image.id) for draft, image in zip(drafts, batch, strict=True))
        assert await images.batch(drafts[0].guid) == batch
        assert await images.find_claimed("", "key") == (batch[0], "a" * 64)
        await images.close()


async def test_a_batch_whose_commit_was_lost_raises_an_error(plain_mysql: MySQLSettings) -> None:
    cutter = CommitCutter(plain_mysql)
    with cutter.running() as settings:
        images = SQLImageRepository(settings.database())
        await images.open()
        cutter.cut = "before"
        drafts = make_batch(3, tags=("duck",), claim=IdempotencyClaim("", "key", "a" * 64))
        with pytest.raises(DBConnectionError):
            await images.add_batch(drafts)
        assert plain_mysql.query("SELECT guid FROM images") == ()
        cutter.cut = None
        assert [image.guid for image in await images.add_batch(drafts)] == [draft.guid for draft in drafts]
        await images.close()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_another_write_whose_commit_may_be_lost_raises_an_error_and_is_not_repeated(
    plain_mysql: MySQLSettings, cut: str
) -> None:
    cutter = CommitCutter(plain_mysql)
    with cutter.running() as settings:
        images = SQLImageRepository(settings.database())
        await images.open()
        image = await add_ready(images)
        cutter.cut = cut
        with pytest.raises(DBConnectionError):
            await images.update(image.guid, ImageChanges(filename="new.png"), NOW)
        cutter.cut = None
        async with asyncio.timeout(10):
            while (await images.get(image.guid)).request.filename != ("new.png" if cut == "after" else "duck.png"):
                await asyncio.sleep(0.01)
        await images.close()


# Changes that are sent with the next statement

_ADD_USER = "INSERT INTO roster (`user`, `password`, class_key) VALUES (:user, 'h', '')"


async def test_deferred_changes_run_in_order_before_the_next_statement(database: MySQLDatabase) -> None:
    def job(session: Session) -> Sequence[Row]:
        session.change_later(_ADD_USER, {"user": "a; DROP TABLE roster -- 'é:x%s"})
        session.insert_many(_ADD_USER, [{"user": f"user {number}"} for number in range(2500)])
        session.change_later(SET_KEY, {"user": "user 2499", "mark": "last"})
        return session.fetch("SELECT COUNT(*), MAX(class_key) FROM roster", {})

    assert await database.write(job) == ((2501, "last"),)


async def test_much_that_is_done_later_is_sent_before_it_is_too_much(database: MySQLDatabase) -> None:
    def job(session: Session) -> None:
        for number in range(40):
            session.change_later(SET_KEY, {"user": "x" * 100_000, "mark": str(number)})
        session.change_later(_ADD_USER, {"user": "alice"})

    await database.write(job)
    assert await database.read(lambda session: session.fetch("SELECT `user` FROM roster", {})) == (("alice",),)


@pytest.mark.parametrize("followed", [True, False], ids=["with a statement", "with the commit"])
async def test_an_error_of_a_deferred_change_rolls_everything_back(database: MySQLDatabase, followed: bool) -> None:
    def job(session: Session) -> None:
        for user in ("alice", "bob", "alice", "carol"):
            session.change_later(_ADD_USER, {"user": user})
        if followed:
            session.fetch("SELECT 1", {})

    with pytest.raises(ConstraintViolationError):
        await database.write(job)
    assert await database.read(lambda session: session.fetch("SELECT `user` FROM roster", {})) == ()
