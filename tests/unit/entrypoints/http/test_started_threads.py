"""Threads of the server that run before any is needed."""

import threading
from collections.abc import Callable

import pytest

from pixyproxy.entrypoints.http.draining_server import started_threads


def only(count: int) -> Callable[[threading.Thread], None]:
    """Return a method that starts this many threads and no more."""
    start, started = threading.Thread.start, 0

    def start_or_fail(thread: threading.Thread) -> None:
        nonlocal started
        started += 1
        if started > count:
            raise RuntimeError("can't start new thread")
        start(thread)

    return start_or_fail


def test_work_needs_no_new_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = started_threads()
    monkeypatch.setattr(threading.Thread, "start", only(0))
    assert [future.result(10) for future in [pool.submit(pow, 2, n) for n in range(100)]] == [2**n for n in range(100)]
    pool.shutdown()


def test_fewer_threads_do_the_work_too(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", only(2))
        pool = started_threads()
    assert "not all threads could be started" in caplog.text
    assert pool.submit(pow, 2, 5).result(10) == 32
    pool.shutdown()
