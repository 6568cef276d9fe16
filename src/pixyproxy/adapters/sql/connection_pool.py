"""A thread pool whose threads each own one database connection, with a time limit for every call."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from pixyproxy.domain.errors import DBConnectionError

CALL_SECONDS = 4.5
"""Time limit of a call, including its time in the queue: callers are promised an answer within 5 seconds."""
TOO_LATE = "The database did not answer in time."
CLOSED = "The database was closed meanwhile."


class Closable(Protocol):
    """A connection, which may open itself when it is first used."""

    def close(self) -> None:
        """Close the connection if it is open."""


C = TypeVar("C", bound=Closable)
T = TypeVar("T")


class ConnectionPool(Generic[C]):
    """Runs jobs in at most `size` threads; `connect` is called once in each, when it gets its first job."""

    def __init__(self, name: str, size: int, connect: Callable[[], C]) -> None:
        self._name = name
        self._size = size
        self._connect = connect
        self._executor: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Accept jobs from now on; threads and connections come with the jobs that need them."""
        self._executor = ThreadPoolExecutor(self._size, thread_name_prefix=self._name)
        self._local = threading.local()
        self._connections: list[C] = []

    async def stop(self) -> None:
        """Refuse the jobs in the queue, wait for those that run, and close all connections."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        for connection in self._connections:
            connection.close()

    async def run(self, job: Callable[[C, float], T], *, deadline: float = float("inf")) -> T:
        """Return `job(connection, deadline)`; deadlines are in the time of `time.monotonic()`.

        A job that is still in the queue at the deadline, or when the caller is cancelled, never runs. One that is
        running goes on and has to check the deadline itself.

        Raises:
            DBConnectionError: The deadline or the time limit passed, there is no thread or memory for the job, or the
                pool is not open.
        """
        executor = self._executor
        if executor is None:
            raise DBConnectionError("The database is not open.")
        now = time.monotonic()
        deadline = min(deadline, now + CALL_SECONDS)
        try:
            future = executor.submit(self._call, job, deadline)
        except RuntimeError as error:
            raise DBConnectionError("No thread can be started for the database.") from error
        try:
            async with asyncio.timeout(deadline - now) as timeout:
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise DBConnectionError(TOO_LATE) from error
        except MemoryError as error:
            raise DBConnectionError("No memory is left for the database.") from error
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if executor is self._executor or (caller is not None and caller.cancelling()):
                raise
            raise DBConnectionError(CLOSED) from None

    def _call(self, job: Callable[[C, float], T], deadline: float) -> T:
        if time.monotonic() > deadline:
            raise DBConnectionError(TOO_LATE)
        connection: C | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._connections.append(connection)
        return job(connection, deadline)
