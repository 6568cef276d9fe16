"""A few threads that each own one connection and run jobs on it, each job within a time limit."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from pixyproxy.domain.errors import DBConnectionError

CALL_SECONDS = 4.5
"""The longest a caller waits for the database, time in the queue included; a promise of 5 s with room to keep it."""


TOO_LATE = "The database did not answer in time."


class Link(Protocol):
    """One thread's connection, opened when first needed."""

    def close(self) -> None:
        """Close the connection if it is open."""


L = TypeVar("L", bound=Link)
T = TypeVar("T")
L_co = TypeVar("L_co", bound=Link, covariant=True)
L_contra = TypeVar("L_contra", bound=Link, contravariant=True)


class Work(Protocol[L_contra]):
    """Something for a thread to do, and those who wait for it on an event loop."""

    loop: asyncio.AbstractEventLoop

    def is_wanted(self) -> bool:
        """Whether anybody still waits; asked in the thread just before `run`, which is left out if not."""

    def run(self, link: L_contra) -> object:
        """Do it, in the thread."""

    def settle(self, result: object, failure: BaseException | None) -> None:
        """Called on the loop with what `run` returned (None if it was left out) or raised."""

    def fail(self, message: str) -> None:
        """Called on the loop, instead of all the others, where it is never going to run."""


class Workers(Protocol[L_co]):
    """Those who do work, each piece on a link."""

    def put(self, work: Work[L_co]) -> None:
        """Have work done; raises DBConnectionError where nobody does any."""


@dataclass(slots=True, eq=False)
class Call(Generic[L]):
    """A job, by when it is to be done, and where its outcome is awaited."""

    job: Callable[[L, float], Any]
    deadline: float
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"

    def is_wanted(self) -> bool:
        return not self.answer.done()

    def run(self, link: L) -> object:
        return self.job(link, self.deadline)

    def settle(self, result: object, failure: BaseException | None) -> None:
        if self.answer.done():
            return
        if failure is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(failure)

    def fail(self, message: str) -> None:
        """Give up waiting; the job does not run any more if it does not yet."""
        if not self.answer.done():
            self.answer.set_exception(DBConnectionError(message))


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

    async def run(self, job: Callable[[L, float], T]) -> T:
        """The result of `job(link, deadline)`, run in one of the threads; `deadline` is in `time.monotonic()`.

        Raises DBConnectionError when the time limit passes first. A job still in the queue then, or when
        the caller is cancelled, never runs; one that runs goes on and has to heed the deadline itself.
        """
        loop = asyncio.get_running_loop()
        call: Call[L] = Call(job, time.monotonic() + CALL_SECONDS, loop, loop.create_future())
        self.put(call)
        timer = loop.call_later(CALL_SECONDS, call.fail, TOO_LATE)
        try:
            result: T = await call.answer
            return result
        finally:
            timer.cancel()

    def put(self, work: Work[L]) -> None:
        """Have work done by the next thread that is free; raises DBConnectionError where there are no threads."""
        if self._queue is None:
            raise DBConnectionError("The database is not open.")
        self._undone += 1
        if self._undone > len(self._threads) < self._size:
            try:
                self._start_thread(self._queue)
            except RuntimeError as error:  # the machine gives no more threads: those that there are have more to do
                if not self._threads:
                    self._undone -= 1
                    raise DBConnectionError("No thread can be started for the database.") from error
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
