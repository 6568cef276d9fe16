"""The callers who wait for generations, and the record of those who got the answer or left without it."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.domain.errors import DBConnectionError, PixyProxyException
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 0.5
"""Seconds between attempts to record a departure while the database is away or the row is not committed yet.

Answers are recorded together after the same time.
"""
_CLOSE_S = 5.0
"""Seconds that writing departures and answers may take when the service stops."""
_MOST_GUIDS = 500
"""Images whose answers are recorded by one transaction at most."""


@dataclass(eq=False, slots=True)
class Caller:
    """A caller who waits for the answer to a submission, which concerns the images with these GUIDs.

    `address` is the one by which an anonymous caller is counted; all without one are one caller. With `got_error` it is
    sent an error, which is no answer to pictures that are ready or will be.
    """

    address: str = ""
    guids: tuple[str, ...] = ()
    has_left: bool = False
    got_error: bool = False


class Departures:
    """Records on images that their caller left without the answer, so that an identical request joins them.

    The process that serves the caller knows at once, others from the database. If that process is killed, they know it
    from the lease of the image, which stays until the answer is recorded.
    """

    def __init__(self, images: ImageRepository, runner: GenerationRunner, clock: Clock) -> None:
        self._images = images
        self._runner = runner
        self._clock = clock
        self._waiting: set[Caller] = set()
        self._unwritten: set[str] = set()
        self._answered: set[str] = set()
        self._answers_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, caller: Caller, guids: Iterable[str]) -> None:
        """Note the images that a caller waits for from now on, too; their rows may not be committed yet."""
        caller.guids = tuple(dict.fromkeys((*caller.guids, *guids)))
        if caller.has_left:
            self.leave(caller)
        else:
            self._waiting.add(caller)

    def answered(self, caller: Caller) -> None:
        """Record that a caller has the answer, be it that the images are being made; returns before it is written."""
        self._waiting.discard(caller)
        self._answered.update(caller.guids)
        if self._answered and self._answers_task is None:
            self._answers_task = asyncio.create_task(self._write_answers())

    def leave(self, caller: Caller) -> None:
        """Record that a caller left without the answer; returns before it is written."""
        caller.has_left = True
        self._waiting.discard(caller)
        if caller.guids:
            self._unwritten.update(caller.guids)
            task = asyncio.create_task(self._write(caller.guids))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def was_left(self, guid: str) -> bool:
        """Return True if the caller of an image left and the database does not know it yet."""
        return guid in self._unwritten

    async def close(self) -> None:
        """Record the departure of all callers that still wait, and the last answers: the service stops."""
        if self._answers_task is not None:
            self._answers_task.cancel()
        for caller in tuple(self._waiting):
            self.leave(caller)
        last = asyncio.create_task(self._write_answers_of(tuple(self._answered)))
        _, pending = await asyncio.wait({last, *self._tasks}, timeout=_CLOSE_S)
        for task in pending:
            logger.error("could not record that a caller was answered or sent away")
            task.cancel()

    async def _write_answers(self) -> None:
        try:
            while self._answered:
                await asyncio.sleep(_WRITE_EVERY_S)
                # An image that is being made keeps its lease until it is ready.
                ended = [guid for guid in self._answered if self._runner.task_of(guid) is None]
                await self._write_answers_of(ended)
        finally:
            self._answers_task = None

    async def _write_answers_of(self, guids: Sequence[str]) -> None:
        for start in range(0, len(guids), _MOST_GUIDS):
            some = guids[start : start + _MOST_GUIDS]
            try:
                await self._images.mark_answered(some)
            except PixyProxyException as error:
                logger.warning("postponed recording that callers were answered: %s", error.message)
                return
            self._answered.difference_update(some)

    async def _write(self, guids: tuple[str, ...]) -> None:
        try:
            while True:
                runs = any(self._runner.task_of(guid) is not None for guid in guids)
                try:
                    count = await self._images.mark_caller_left(guids, self._clock.now())
                except DBConnectionError as error:
                    logger.warning("postponed recording that a caller left: %s", error.message)
                else:
                    if count == len(guids) or not runs:
                        return
                await asyncio.sleep(_WRITE_EVERY_S)
        finally:
            self._unwritten.difference_update(guids)
