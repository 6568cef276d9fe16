"""The callers who wait for generations, and the record of those who left without the answer."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 0.5
"""Seconds between attempts to record a departure while the database is away or the row is not committed yet."""
_CLOSE_S = 5.0
"""Seconds that writing departures may take when the service stops."""


@dataclass(eq=False, slots=True)
class Caller:
    """A caller who waits for the answer to a submission, which concerns the images with these GUIDs.

    `address` is the one by which an anonymous caller is counted; all without one are one caller.
    """

    address: str = ""
    guids: tuple[str, ...] = ()
    has_left: bool = False


class Departures:
    """Records on images that their caller left without the answer, so that an identical request joins them.

    The process that serves the caller knows at once, others from the database.
    """

    def __init__(self, images: ImageRepository, runner: GenerationRunner, clock: Clock) -> None:
        self._images = images
        self._runner = runner
        self._clock = clock
        self._waiting: set[Caller] = set()
        self._unwritten: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, caller: Caller, guids: Iterable[str]) -> None:
        """Note the images that a caller waits for from now on; their rows may not be committed yet."""
        caller.guids = tuple(guids)
        if caller.has_left:
            self.leave(caller)
        else:
            self._waiting.add(caller)

    def answered(self, caller: Caller) -> None:
        """Note that a caller has the answer."""
        self._waiting.discard(caller)

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
        """Record the departure of all callers that still wait: the service stops."""
        for caller in tuple(self._waiting):
            self.leave(caller)
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=_CLOSE_S)
            for task in pending:
                logger.error("could not record that a caller was sent away")
                task.cancel()

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
