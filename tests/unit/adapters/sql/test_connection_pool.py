"""The threads that own connections: limits of time, cancelling, stopping."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from pixyproxy.adapters.sql import connection_pool
from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.domain.errors import DBConnectionError


class Connection:
    made: ClassVar[list["Connection"]] = []

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.closed = False
        Connection.made.append(self)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool[Connection]]:
    Connection.made = []
    pool = ConnectionPool("test-pool", 1, Connection)
    pool.start()
    yield pool
    await pool.stop()
    assert all(connection.closed for connection in Connection.made)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-pool")]


async def test_each_thread_keeps_its_own_connection() -> None:
    Connection.made = []
    pool = ConnectionPool("test-pool", 3, Connection)
    assert Connection.made == []
    pool.start()
    both = threading.Barrier(3)

    def job(connection: Connection, deadline: float) -> Connection:
        both.wait(5)
        assert connection.thread == threading.get_ident()
        return connection

    first = await asyncio.gather(*(pool.run(job) for _ in range(3)))
    second = await asyncio.gather(*(pool.run(job) for _ in range(3)))
    assert {*map(id, first)} == {*map(id, second)} == {*map(id, Connection.made)}
    await pool.stop()
    assert [connection.closed for connection in Connection.made] == [True] * 3


async def test_errors_of_a_job_reach_the_caller(pool: ConnectionPool[Connection]) -> None:
    def job(connection: Connection, deadline: float) -> None:
        raise TimeoutError("of its own")

    with pytest.raises((TimeoutError, DBConnectionError)):
        await pool.run(job)


async def test_a_job_that_waited_too_long_never_runs(
    pool: ConnectionPool[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    release, ran = threading.Event(), threading.Event()
    busy = asyncio.create_task(pool.run(lambda connection, deadline: release.wait(10)))
    await asyncio.sleep(0)
    monkeypatch.setattr(connection_pool, "CALL_SECONDS", 0.05)
    with pytest.raises(DBConnectionError):
        await pool.run(lambda connection, deadline: ran.set())
    release.set()
    assert await busy
    await pool.run(lambda connection, deadline: None)
    assert not ran.is_set()


async def test_a_running_job_past_its_time_is_reported(
    pool: ConnectionPool[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(connection_pool, "CALL_SECONDS", 0.05)
    with pytest.raises(DBConnectionError):
        await pool.run(lambda connection, deadline: release.wait(10))
    release.set()


async def test_a_cancelled_caller_is_cancelled_and_its_waiting_job_never_runs(pool: ConnectionPool[Connection]) -> None:
    release, ran = threading.Event(), threading.Event()
    busy = asyncio.create_task(pool.run(lambda connection, deadline: release.wait(10)))
    waiting = asyncio.create_task(pool.run(lambda connection, deadline: ran.set()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    assert await busy
    await pool.run(lambda connection, deadline: None)
    assert not ran.is_set()


async def test_stopping_waits_for_running_jobs_and_refuses_queued_ones(pool: ConnectionPool[Connection]) -> None:
    started, release = threading.Event(), threading.Event()

    def job(connection: Connection, deadline: float) -> bool:
        started.set()
        return release.wait(10) and not connection.closed

    busy = asyncio.create_task(pool.run(job))
    waiting = asyncio.create_task(pool.run(lambda connection, deadline: None))
    await asyncio.to_thread(started.wait, 10)
    stopping = asyncio.create_task(pool.stop())
    with pytest.raises(DBConnectionError):
        await waiting
    assert not stopping.done()
    release.set()
    await stopping
    assert await busy


async def test_a_stopped_pool_refuses_and_can_be_started_again(pool: ConnectionPool[Connection]) -> None:
    await pool.run(lambda connection, deadline: None)
    await pool.stop()
    with pytest.raises(DBConnectionError):
        await pool.run(lambda connection, deadline: None)
    pool.start()
    assert not await pool.run(lambda connection, deadline: connection.closed)
    assert len(Connection.made) == 2


async def test_a_job_that_was_late_in_the_queue_is_not_run_after_the_pool_was_blocked(
    pool: ConnectionPool[Connection],
) -> None:
    release, ran = threading.Event(), threading.Event()
    busy = asyncio.create_task(pool.run(lambda connection, deadline: release.wait(10)))
    await asyncio.sleep(0)
    with pytest.raises(DBConnectionError, match="in time"):
        await pool.run(lambda connection, deadline: ran.set(), deadline=time.monotonic() + 0.05)
    release.set()
    assert await busy
    with pytest.raises(DBConnectionError, match="in time"):
        await pool.run(lambda connection, deadline: ran.set(), deadline=time.monotonic() - 1)
    assert not ran.is_set()


async def test_a_thread_that_cannot_be_started_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    Connection.made = []
    pool = ConnectionPool("test-pool", 3, Connection)
    pool.start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(DBConnectionError, match="No thread can be started"):
            await pool.run(lambda connection, deadline: None)
    assert await pool.run(lambda connection, deadline: "done") == "done"
    await pool.stop()
