"""Queued rows of processes that have ended, taken over into the queue of this one."""

import logging
from datetime import timedelta

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.domain.errors import GeneratorError
from pixyproxy.domain.generation import QueuedCall
from pixyproxy.domain.image import Failure, Image, Status
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

_BATCH = 500
_NEEDS_GONE = Failure(
    GeneratorError.code, "What the call needs was deleted while it waited for its turn: nothing was paid."
)


class QueueTakeover:
    """Takes over calls whose lease has ended, so that they get their turn here."""

    def __init__(
        self,
        images: ImageRepository,
        maintenance: MaintenanceRepository,
        runner: GenerationRunner,
        clock: Clock,
        *,
        owner: str,
        lease_s: float,
    ) -> None:
        """`owner` names this process in leases, which end after `lease_s` seconds."""
        self._images = images
        self._maintenance = maintenance
        self._runner = runner
        self._clock = clock
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)

    async def run(self) -> int:
        """Take over all calls that nobody has; return their number. It raises DBConnectionError."""
        count = 0
        while not self._runner.draining:
            rows = await self._maintenance.expired_in_queue(self._clock.now(), _BATCH)
            of_calls = {row.request.batch or row.guid: row for row in rows}
            taken = [found for key, row in of_calls.items() if (found := await self._take_over(key, row)) is not None]
            # All join the queue together, so that none has its turn before another is there.
            for images, call in taken:
                self._runner.take_over(images, call)
            count += len(taken)
            if not taken:
                break
        if count:
            logger.info("took over %d queued calls of processes that have ended", count)
        return count

    async def _take_over(self, key: str, row: Image) -> tuple[list[Image], QueuedCall] | None:
        """Take over the call of a row, whose first image has the GUID `key`; None if another process was quicker."""
        call_rows = (row,) if row.request.batch is None else await self._images.batch(key)
        rows = [row for row in call_rows if row.status is Status.QUEUED]
        if any(self._runner.task_of(row.guid) is not None for row in rows):
            return None  # it waits here: its lease could not be renewed in time
        now = self._clock.now()
        own = [row for row in rows if await self._maintenance.take_over(row.guid, self._owner, now, now + self._lease)]
        if not own:
            return None
        call = await self._maintenance.queued_call(key)
        if call is None:
            for row in own:
                logger.error("image %s was queued and its call is gone", row.guid)
                await self._images.mark_failed(row.guid, Status.FAILED, _NEEDS_GONE, now, free_key=True)
            return None
        # Whoever asked lost the connection with the process: the same request joins this one.
        await self._images.mark_caller_left([row.guid for row in own], now)
        return own, call
