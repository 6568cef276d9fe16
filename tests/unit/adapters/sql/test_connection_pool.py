"""The threads that own connections: limits of time, cancelling, stopping."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from pixyproxy.adapters.sql import connection_pool as threads
from pixyproxy.adapters.sql.connection_pool import ConnectionThreads
from pixyproxy.domain.errors import DBConnectionError


class Link:
    made: ClassVar[list["Link"]] = []

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.closed = False
        Link.made.append(self)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionThreads[Link]]:
    Link.made = []
    pool = ConnectionThreads("test-pool", 1, Link)
    pool.start()
    yield pool
    await pool.stop()
    assert all(link.closed for link in Link.made)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-pool")]


async def test_each_thread_keeps_its_own_link() -> None:
    Link.made = []
    pool = ConnectionThreads("test-pool", 3, Link)
    assert Link.made == []
    pool.start()
    both = threading.Barrier(3)

    def job(link: Link, deadline: float) -> Link:
        both.wait(5)
        assert link.thread == threading.get_ident()
        return link

    first = await asyncio.gather(*(pool.run(job) for _ in range(3)))
    second = await asyncio.gather(*(pool.run(job) for _ in range(3)))
    assert {id(link) for link in first} == {id(link) for link in second} == {id(link) for link in Link.made}
    await pool.stop()
    assert [link.closed for link in Link.made] == [True] * 3


async def test_errors_of_a_job_reach_the_caller(pool: ConnectionThreads[Link]) -> None:
    def job(link: Link, deadline: float) -> None:
        raise TimeoutError("of its own")

    with pytest.raises((TimeoutError, DBConnectionError)):
        await pool.run(job)


async def test_what_waited_too_long_never_runs(pool: ConnectionThreads[Link], monkeypatch: pytest.MonkeyPatch) -> None:
    release, ran = threading.Event(), threading.Event()
    busy = asyncio.create_task(pool.run(lambda link, deadline: release.wait(10)))
    await asyncio.sleep(0)
    monkeypatch.setattr(threads, "CALL_SECONDS", 0.05)
    with pytest.raises(DBConnectionError):
        await pool.run(lambda link, deadline: ran.set())
    release.set()
    assert await busy
    await pool.run(lambda link, deadline: None)
    assert not ran.is_set()


async def test_a_running_job_past_its_time_is_reported(
    pool: ConnectionThreads[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(threads, "CALL_SECONDS", 0.05)
    with pytest.raises(DBConnectionError):
        await pool.run(lambda link, deadline: release.wait(10))
    release.set()


async def test_a_cancelled_caller_is_cancelled_and_its_waiting_job_never_runs(pool: ConnectionThreads[Link]) -> None:
    release, ran = threading.Event(), threading.Event()
    busy = asyncio.create_task(pool.run(lambda link, deadline: release.wait(10)))
    waiting = asyncio.create_task(pool.run(lambda link, deadline: ran.set()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    assert await busy
    await pool.run(lambda link, deadline: None)
    assert not ran.is_set()


async def test_stopping_waits_for_what_runs_and_refuses_what_waits(pool: ConnectionThreads[Link]) -> None:
    started, release = threading.Event(), threading.Event()

    def job(link: Link, deadline: float) -> bool:
        started.set()
        return release.wait(10) and not link.closed

    busy = asyncio.create_task(pool.run(job))
    waiting = asyncio.create_task(pool.run(lambda link, deadline: None))
    await asyncio.to_thread(started.wait, 10)
    stopping = asyncio.create_task(pool.stop())
    with pytest.raises(DBConnectionError):
        await waiting
    assert not stopping.done()
    release.set()
    await stopping
    assert await busy


async def test_a_stopped_pool_refuses_and_can_be_started_again(pool: ConnectionThreads[Link]) -> None:
    await pool.run(lambda link, deadline: None)
    await pool.stop()
    with pytest.raises(DBConnectionError):
        await pool.run(lambda link, deadline: None)
    pool.start()
    assert not await pool.run(lambda link, deadline: link.closed)
    assert len(Link.made) == 2


async def test_where_no_more_threads_can_be_started_those_that_there_are_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    Link.made = []
    pool = ConnectionThreads("test-pool", 3, Link)
    pool.start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(DBConnectionError, match="No thread can be started"):
            await pool.run(lambda link, deadline: None)
    go_on = threading.Event()
    busy = asyncio.create_task(pool.run(lambda link, deadline: go_on.wait(20)))
    await asyncio.sleep(0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        waiting = asyncio.create_task(pool.run(lambda link, deadline: "done"))
        await asyncio.sleep(0)
        go_on.set()
        assert await waiting == "done"
    assert await busy
    assert len(Link.made) == 1
    await pool.stop()
