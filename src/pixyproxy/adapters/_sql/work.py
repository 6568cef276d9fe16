"""Work on connections, and waiting for it within a time limit, whoever does it: threads or the event loop."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pixyproxy.domain.errors import DBConnectionError

CALL_SECONDS = 4.5
"""The longest a caller waits for the database, time in the queue included; a promise of 5 s with room to keep it."""

TOO_LATE = "The database did not answer in time."


class Link(Protocol):
    """A connection, opened when first needed."""

    def close(self) -> None:
        """Close the connection if it is open."""


L = TypeVar("L", bound=Link)
T = TypeVar("T")
L_co = TypeVar("L_co", bound=Link, covariant=True)
L_contra = TypeVar("L_contra", bound=Link, contravariant=True)


class Work(Protocol[L_contra]):
    """Something to do on a link, and those who wait for it on an event loop."""

    loop: asyncio.AbstractEventLoop

    def is_wanted(self) -> bool:
        """Whether anybody still waits; asked just before `run` and where that runs, which is left out if not."""

    def run(self, link: L_contra) -> object:
        """Do it, perhaps in a thread."""

    def settle(self, result: object, failure: BaseException | None) -> None:
        """Called on the loop with what `run` returned (None if it was left out) or raised."""

    def fail(self, message: str) -> None:
        """Called on the loop, instead of all the others, where it is never going to run."""


class Workers(Protocol[L_co]):
    """Those who do work, each piece on a link."""

    def put(self, work: Work[L_co]) -> None:
        """Have work done; raises DBConnectionError where nobody does any."""


@dataclass(slots=True, eq=False)
class _Call(Generic[L]):
    """A job and where its outcome is awaited."""

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


async def run_job(workers: Workers[L], job: Callable[[L, float], T]) -> T:
    """The result of `job(link, deadline)`, done by one of the workers; `deadline` is in `time.monotonic()`.

    Raises DBConnectionError when the time limit passes first. A job still waiting for its turn then, or when
    the caller is cancelled, never runs; one that runs goes on and has to heed the deadline itself.
    """
    loop = asyncio.get_running_loop()
    call: _Call[L] = _Call(job, time.monotonic() + CALL_SECONDS, loop, loop.create_future())
    workers.put(call)
    timer = loop.call_later(CALL_SECONDS, call.fail, TOO_LATE)
    try:
        result: T = await call.answer
        return result
    finally:
        timer.cancel()
