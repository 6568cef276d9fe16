"""The use case that settles interrupted generations: it adopts and quarantines, and deletes no picture."""

import math
from collections.abc import AsyncIterator
from datetime import timedelta

from pixyproxy.application.maintenance.findings import BATCH, Action, Finding
from pixyproxy.application.maintenance.rescued_responses import RescuedResponses
from pixyproxy.application.maintenance.sweeping.stored_results import StoredResults
from pixyproxy.application.maintenance.sweeping.sweep import Sweep, SweepPosition
from pixyproxy.application.maintenance.undescribed_pictures import UndescribedPictures
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    GenerationInterruptedError,
    ImageNotFoundError,
)
from pixyproxy.domain.image import Failure, Image, Status
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.process_monitor import ProcessMonitor
from pixyproxy.ports.thumbnail_store import ThumbnailStore

INTERRUPTED = Failure(
    GenerationInterruptedError.code,
    "The generation was interrupted after the upstream call may have begun: it may have been paid for.",
)


class Reconciler:
    """Brings rows and bytes into agreement after an interruption.

    Several processes may settle rows at once: the one that takes a lease settles its row. While the blob store or the
    database cannot be reached nothing is settled, and the error of that port is raised.
    """

    def __init__(
        self,
        images: ImageRepository,
        maintenance: MaintenanceRepository,
        blobs: BlobStore,
        stored: BlobMaintenance,
        thumbnails: ThumbnailStore,
        ledger: Ledger,
        responses: RescuedResponses,
        undescribed: UndescribedPictures,
        processes: ProcessMonitor,
        clock: Clock,
        *,
        owner: str,
        lease_s: float,
    ) -> None:
        """`owner` names this process in leases; files that changed within `lease_s` seconds may still be written."""
        self._images = images
        self._maintenance = maintenance
        self._stored = stored
        self._responses = responses
        self._undescribed = undescribed
        self._processes = processes
        self._clock = clock
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)
        self._results = StoredResults(images, blobs, stored, clock)
        self._sweep = Sweep(
            maintenance, blobs, stored, thumbnails, ledger, responses, self._results, clock, lease=self._lease
        )

    async def interrupted(self, *, apply: bool) -> AsyncIterator[Finding]:
        """Settle rows whose lease or process has ended and adopt rescued bytes; cheap enough for every minute."""
        if apply:
            await self.end_leases_of_dead_processes()
        seen: set[str] = set()
        rescued = await self._stored.rescued()
        while True:
            rows = [
                row
                for row in await self._maintenance.expired(self._clock.now(), BATCH + len(seen))
                if row.guid not in seen
            ]
            for row in rows:
                seen.add(row.guid)
                if (finding := await self._settle(row, row.guid in rescued, apply)) is not None:
                    yield finding
            if not rows:
                break
        for guid in sorted(rescued - seen):
            status = (await self._maintenance.statuses([guid])).get(guid)
            # A row that is `generating` is settled by its owner, or above once its lease has ended. One that is ready
            # has lost its bytes, or was adopted by a process that ended before it had moved the rescued ones.
            if status in {Status.FAILED, Status.UNKNOWN, Status.READY} and (
                finding := await self._adopt_rescued(guid, apply)
            ):
                yield finding

    def sweep(
        self, *, apply: bool, position: SweepPosition | None = None, pictures: float = math.inf
    ) -> AsyncIterator[Finding]:
        """Compare all stored files with all rows, both ways, and read rescued responses again.

        With a position it begins there, and ends after so many pictures; `Sweep.run` says how.
        """
        return self._sweep.run(position or SweepPosition(), apply=apply, pictures=pictures)

    def rescued_responses(self, *, apply: bool) -> AsyncIterator[Finding]:
        """Read rescued responses again, as the end of a sweep does."""
        return self._responses.adopt(apply=apply)

    async def end_leases_of_dead_processes(self) -> None:
        """Let the rows be settled now of processes of this host that were killed: callers may wait for them."""
        a_moment_ago = self._clock.now() - timedelta(microseconds=1)
        for owner in await self._maintenance.lease_owners():
            if self._processes.is_alive(owner) is False:
                await self._maintenance.end_leases(owner, a_moment_ago)

    async def protect_files(self, *, apply: bool) -> AsyncIterator[Finding]:
        """Give files and folders of before the permissions and the group of new ones; it reads every folder."""
        found = await self._stored.inspect_access(apply=apply)
        if found.wrong > found.refused:
            description = f"{found.wrong - found.refused} files and folders with other permissions than new ones"
            yield Finding("", description, Action.PROTECT)
        if found.refused:
            description = f"{found.refused} files and folders whose permissions only their owner can change"
            yield Finding("", description, Action.REPORT)

    async def _settle(self, row: Image, rescued: bool, apply: bool) -> Finding | None:
        now = self._clock.now()
        if apply and not await self._maintenance.take_over(row.guid, self._owner, now, now + self._lease):
            return None
        if apply:
            # The caller lost the connection with the owner of the lease: the same request joins this image.
            await self._images.mark_caller_left([row.guid], now)
        result = await self._results.whole(row.guid)
        if result is None and rescued:
            if not apply:
                return Finding(row.guid, "interrupted, its bytes were rescued", Action.ADOPT)
            await self._stored.adopt_rescued(row.guid)
            result = await self._results.whole(row.guid)
        if result is not None:
            if apply:
                await self._results.mark_ready(row.guid, result)
            return Finding(row.guid, "interrupted, its bytes are whole", Action.ADOPT)
        if await self._undescribed.adopt(row, apply=apply):
            return Finding(row.guid, "interrupted, its bytes had no sidecar", Action.ADOPT)
        if apply:
            try:
                await self._images.mark_failed(row.guid, Status.UNKNOWN, INTERRUPTED, self._clock.now())
            except (ImageNotFoundError, ConstraintViolationError):
                return None
        return Finding(row.guid, "interrupted, without bytes", Action.SETTLE)

    async def _adopt_rescued(self, guid: str, apply: bool) -> Finding | None:
        if apply:
            if not await self._stored.adopt_rescued(guid):
                return None
            result = await self._results.whole(guid)
            if result is None or not await self._results.mark_ready(guid, result):
                return None
        return Finding(guid, "its bytes were rescued", Action.ADOPT)
