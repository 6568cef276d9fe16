"""A few threads that each own one connection and run jobs on it, each job within a time limit."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from pixyproxy.domain.errors import DBConnectionError

CALL_SECONDS = 4.5
"""The longest a caller waits for the database, time in the queue included; a promise of 5 s with room to keep it."""


class Link(Protocol):
    """One thread's connection, opened when first needed."""

    def close(self) -> None:
        """Close the connection if it is open."""


L = TypeVar("L", bound=Link)
T = TypeVar("T")


class ConnectionThreads(Generic[L]):
    """An executor of its own whose threads each hold one link, made by `make_link` in that thread."""

    def __init__(self, name: str, size: int, make_link: Callable[[], L]) -> None:
        self._name = name
        self._size = size
        self._make_link = make_link
        self._executor: ThreadPoolExecutor | None = None
        self._links: list[L] = []
        self._own = threading.local()

    def start(self) -> None:
        """Take jobs from now on; threads are started and connections opened only as work needs them."""
        self._links = []
        self._own = threading.local()
        self._executor = ThreadPoolExecutor(self._size, thread_name_prefix=self._name)

    async def stop(self) -> None:
        """Drop the jobs that wait, let those that run come to their end, and close all connections."""
        if self._executor is None:
            return
        executor, self._executor = self._executor, None
        links = self._links
        await run_in_own_thread(f"{self._name}-close", lambda: _finish(executor, links))

    async def run(self, job: Callable[[L, float], T]) -> T:
        """The result of `job(link, deadline)`, run in one of the threads; `deadline` is in `time.monotonic()`.

        Raises DBConnectionError when the time limit passes first. A job still in the queue then, or when
        the caller is cancelled, never runs; one that runs goes on and has to heed the deadline itself.
        """
        if self._executor is None:
            raise DBConnectionError("The database is not open.")
        future = self._executor.submit(self._in_thread, job, time.monotonic() + CALL_SECONDS)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DBConnectionError("The database did not answer in time.") from None
        except asyncio.CancelledError:
            # Stopping cancels the jobs that wait; then it is not the caller who was cancelled.
            task = asyncio.current_task()
            if future.cancelled() and task is not None and not task.cancelling():
                raise DBConnectionError("The database was closed meanwhile.") from None
            raise

    def _in_thread(self, job: Callable[[L, float], T], deadline: float) -> T:
        link: L | None = getattr(self._own, "link", None)
        if link is None:
            link = self._own.link = self._make_link()
            self._links.append(link)
        return job(link, deadline)


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


def _finish(executor: ThreadPoolExecutor, links: Iterable[Link]) -> None:
    executor.shutdown(wait=True, cancel_futures=True)
    for link in links:
        link.close()
