"""A few threads that each own one connection and do work on it."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from pixyproxy.adapters._sql.work import L, Work
from pixyproxy.domain.errors import DBConnectionError

T = TypeVar("T")


class ConnectionThreads(Generic[L]):
    """Threads with a queue of their own, which each hold one link, made by `make_link` in that thread.

    The futures of an executor take locks and wake threads more often than need be, and for a short read
    that is as much work as the read itself.
    """

    def __init__(self, name: str, size: int, make_link: Callable[[], L]) -> None:
        self._name = name
        self._size = size
        self._make_link = make_link
        self._queue: SimpleQueue[Work[L] | None] | None = None
        self._threads: list[threading.Thread] = []
        self._undone = 0
        """How much work the threads have not done with, whether or not anybody waits for it."""

    def start(self) -> None:
        """Take jobs from now on; threads are started and connections opened only as work needs them."""
        self._queue = SimpleQueue()
        self._threads = []
        self._undone = 0

    async def stop(self) -> None:
        """Drop the jobs that wait, let those that run come to their end, and close all connections."""
        if self._queue is None:
            return
        queue, self._queue = self._queue, None
        threads = self._threads
        with suppress(Empty):
            while work := queue.get_nowait():
                work.fail("The database was closed meanwhile.")
        for _ in threads:
            queue.put(None)
        await run_in_own_thread(f"{self._name}-close", lambda: _join(threads))

    @property
    def is_free(self) -> bool:
        """Whether a thread could begin at once."""
        return self._undone < self._size

    def put(self, work: Work[L]) -> None:
        """Have work done by the next thread that is free; raises DBConnectionError where there are no threads."""
        if self._queue is None:
            raise DBConnectionError("The database is not open.")
        self._undone += 1
        if self._undone > len(self._threads) < self._size:
            self._start_thread(self._queue)
        self._queue.put(work)

    def _start_thread(self, queue: "SimpleQueue[Work[L] | None]") -> None:
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=self._work, args=(queue,), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self, queue: "SimpleQueue[Work[L] | None]") -> None:
        link: L | None = None
        while (work := queue.get()) is not None:
            result, failure = None, None
            try:
                if work.is_wanted():
                    link = link or self._make_link()
                    result = work.run(link)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
                failure = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                work.loop.call_soon_threadsafe(self._settle, work, result, failure)
            del work, result, failure  # what a job returned or raised is not kept until the next one comes
        if link is not None:
            link.close()

    def _settle(self, work: Work[L], result: object, failure: BaseException | None) -> None:
        self._undone -= 1
        work.settle(result, failure)


async def run_in_own_thread(name: str, work: Callable[[], T]) -> T:
    """The result of work that may take long, run in a thread that ends with it; cancelling does not end the work."""
    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        result = await asyncio.wrap_future(executor.submit(work))
    except BaseException:
        executor.shutdown(wait=False)
        raise
    executor.shutdown(wait=True)
    return result


def _join(threads: Iterable[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
