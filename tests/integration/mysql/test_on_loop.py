"""The driver on the event loop: its sockets wait without a thread, give up in time, and tell a job that it ends."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import pymysql
import pytest

from pixyproxy.adapters.mysql.connection import Server, ServerLink
from pixyproxy.adapters.mysql.greenlet_bridge import ConnectionOnLoop, LoopStream, connect_on_loop, run_on_loop
from pixyproxy.domain.errors import DBConnectionError
from tests.fixtures.sql.mysql_servers import MySQLSettings


@pytest.fixture
async def peers() -> AsyncIterator[tuple[LoopStream, socket.socket]]:
    """A LoopStream of little patience and what is at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = await run_on_loop(partial(connect_on_loop, *listener.getsockname(), 0.1))
        other, _ = listener.accept()
        with other:
            yield opened, other
            opened.close()


def received(opened: LoopStream) -> bytes:
    buffer = bytearray(10)
    return bytes(buffer[: opened.recv_into(buffer)])


async def test_the_loop_goes_on_while_a_socket_waits(peers: tuple[LoopStream, socket.socket]) -> None:
    opened, other = peers
    reading = asyncio.create_task(run_on_loop(lambda: received(opened)))
    await asyncio.sleep(0.01)
    assert not reading.done()
    other.sendall(b"news")
    assert await reading == b"news"


async def test_what_does_not_come_is_given_up(peers: tuple[LoopStream, socket.socket]) -> None:
    opened, _ = peers
    with pytest.raises(TimeoutError):
        await run_on_loop(lambda: received(opened))


async def test_much_is_sent_as_fast_as_it_is_taken(peers: tuple[LoopStream, socket.socket]) -> None:
    opened, other = peers
    data = bytes(range(256)) * 100_000
    sending = asyncio.create_task(run_on_loop(lambda: opened.sendall(data)))
    other.settimeout(20)

    def take() -> bytes:
        taken = bytearray()
        while len(taken) < len(data):
            taken += other.recv(1_000_000)
        return bytes(taken)

    assert await asyncio.to_thread(take) == data
    await sending


async def test_what_nobody_takes_is_given_up(peers: tuple[LoopStream, socket.socket]) -> None:
    opened, _ = peers
    with pytest.raises(TimeoutError):
        await run_on_loop(lambda: opened.sendall(bytes(50_000_000)))


async def test_a_socket_cannot_wait_elsewhere(peers: tuple[LoopStream, socket.socket]) -> None:
    opened, _ = peers
    with pytest.raises(RuntimeError, match="run_on_loop"):
        received(opened)


async def test_a_job_is_told_of_its_cancellation(peers: tuple[LoopStream, socket.socket]) -> None:
    opened, _ = peers
    opened.patience = 20
    told: list[type[BaseException]] = []

    def job() -> None:
        try:
            received(opened)
        except BaseException as error:
            told.append(type(error))
            raise

    task = asyncio.create_task(run_on_loop(job))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == [asyncio.CancelledError]


async def test_where_nobody_listens_the_driver_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(pymysql.OperationalError, match="2003"):
        await run_on_loop(lambda: connect_on_loop("127.0.0.1", port, 1))
    with pytest.raises(pymysql.OperationalError, match="2003"):
        await run_on_loop(lambda: connect_on_loop("no-such-host.invalid", port, 1))


class Piece:
    """A piece of work that notes what becomes of it."""

    def __init__(self, job: Callable[[ServerLink], object], *, is_wanted: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[object] = self.loop.create_future()
        self._job = job
        self._is_wanted = is_wanted

    def is_wanted(self) -> bool:
        return self._is_wanted

    def run(self, link: ServerLink) -> object:
        return self._job(link)

    def settle(self, result: object, failure: BaseException | None) -> None:
        if failure is None:
            self.outcome.set_result(result)
        else:
            self.outcome.set_exception(failure)

    def fail(self, message: str) -> None:
        self.outcome.set_exception(DBConnectionError(message))


def asking(sql: str) -> Callable[[ServerLink], object]:
    def job(link: ServerLink) -> object:
        assert threading.current_thread() is threading.main_thread()
        with link.connection().cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()

    return job


@pytest.fixture
async def connection(empty_mysql: MySQLSettings) -> AsyncIterator[ConnectionOnLoop[ServerLink]]:
    here = empty_mysql
    server = Server(here.host, here.port, here.user, here.password, here.name)
    connection = ConnectionOnLoop(lambda: ServerLink(server, connect_on_loop))
    connection.start()
    yield connection
    await connection.stop()


async def test_work_is_done_in_its_turn_on_one_connection(connection: ConnectionOnLoop[ServerLink]) -> None:
    pieces = [Piece(asking("SELECT CONNECTION_ID(), SLEEP(0.01)")) for _ in range(3)]
    for piece in pieces:
        connection.put(piece)
    assert len({await piece.outcome for piece in pieces}) == 1


async def test_what_goes_wrong_with_one_piece_is_its_own(connection: ConnectionOnLoop[ServerLink]) -> None:
    wrong, right = Piece(asking("SELECT nonsense FROM nowhere")), Piece(asking("SELECT 1"))
    unwanted = Piece(asking("SELECT 2"), is_wanted=False)
    for piece in (wrong, right, unwanted):
        connection.put(piece)
    with pytest.raises(pymysql.ProgrammingError):
        await wrong.outcome
    assert await right.outcome == (1,)
    assert await unwanted.outcome is None


async def test_stopping_lets_what_runs_end_and_fails_what_waits(connection: ConnectionOnLoop[ServerLink]) -> None:
    runs, waits = Piece(asking("SELECT SLEEP(0.2)")), Piece(asking("SELECT 1"))
    connection.put(runs)
    connection.put(waits)
    await asyncio.sleep(0.05)
    await connection.stop()
    assert await runs.outcome == (0,)
    with pytest.raises(DBConnectionError, match="closed"):
        await waits.outcome
    with pytest.raises(DBConnectionError, match="not open"):
        connection.put(waits)
