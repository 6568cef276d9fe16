"""The use case that settles interrupted generations: it adopts and quarantines, and deletes no picture."""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from pixyproxy.application.generation.sidecar import result_of
from pixyproxy.application.maintenance.findings import BATCH, Action, Finding, batches
from pixyproxy.application.maintenance.rescued_responses import RescuedResponses
from pixyproxy.application.maintenance.undescribed_pictures import UndescribedPictures
from pixyproxy.application.queue.stored_sources import owner_of
from pixyproxy.domain.errors import (
    BlobCorruptError,
    BlobMissingError,
    ConstraintViolationError,
    DataValidationError,
    GenerationInterruptedError,
    ImageNotFoundError,
)
from pixyproxy.domain.image import SETTLED, Failure, Image, ImageResult, Status
from pixyproxy.ports.blob_maintenance import BlobMaintenance, StoredBlob
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.process_monitor import ProcessMonitor
from pixyproxy.ports.thumbnail_store import ThumbnailStore

logger = logging.getLogger(__name__)

_FEW = 10
"""Up to this many stored images without a row are quarantined even if fewer images have a row."""
_LONGEST_GENERATION = timedelta(days=1)
"""A charge that is reserved for longer, and whose image is gone, is ended by nobody else."""
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
        self._blobs = blobs
        self._stored = stored
        self._thumbnails = thumbnails
        self._ledger = ledger
        self._responses = responses
        self._undescribed = undescribed
        self._processes = processes
        self._clock = clock
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)

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

    async def sweep(self, *, apply: bool) -> AsyncIterator[Finding]:
        """Compare all stored files with all rows, both ways, and read rescued responses again.

        It reads every folder and every row.

        If most stored images have no row, nothing is moved: this is probably another database.
        """
        long_ago = self._clock.now() - self._lease
        orphans: list[str] = []
        known = 0
        async for batch in batches(self._stored.walk()):
            statuses = await self._maintenance.statuses([blob.guid for blob in batch])
            known += len(statuses)
            # Bytes are stored after their row is committed: without a row, the row was deleted.
            orphans += [blob.guid for blob in batch if blob.guid not in statuses and blob.modified_at < long_ago]
            async for finding in self._compare(batch, statuses, long_ago, apply):
                yield finding
        async for finding in self._drop_edit_sources(orphans, apply):
            yield finding
        async for finding in self._quarantine_orphans(orphans, known, apply):
            yield finding
        if apply and (count := await self._stored.quarantine_debris(long_ago)):
            yield Finding("", f"{count} half-written files", Action.QUARANTINE)
        async for finding in self._responses.adopt(apply=apply):
            yield finding
        async for finding in self._drop_thumbnails(apply):
            yield finding
        async for finding in self._missing():
            yield finding
        if apply and (count := await self._ledger.end_overlooked()):
            yield Finding("", f"{count} charges of images that an older version ended", Action.SETTLE)
        if apply and (count := await self._ledger.hold_orphans(self._clock.now() - _LONGEST_GENERATION)):
            yield Finding("", f"{count} charges of deleted images that may have been billed", Action.SETTLE)

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

    async def _drop_thumbnails(self, apply: bool) -> AsyncIterator[Finding]:
        """Delete thumbnails without a row: a process ended after it had deleted their image."""
        async for batch in batches(self._thumbnails.walk()):
            statuses = await self._maintenance.statuses(batch)
            for guid in batch:
                if guid not in statuses:
                    if apply:
                        await self._thumbnails.delete(guid)
                    yield Finding(guid, "thumbnails without a row", Action.DROP)

    async def _drop_edit_sources(self, orphans: list[str], apply: bool) -> AsyncIterator[Finding]:
        """Take the copies of edit sources from the orphans, and delete those whose call has ended."""
        for guid in list(orphans):
            try:
                owner = owner_of(await self._blobs.read_sidecar(guid))
            except (BlobMissingError, BlobCorruptError):
                continue
            if owner is None:
                continue
            orphans.remove(guid)
            status = (await self._maintenance.statuses([owner])).get(owner)
            if status is None or status in SETTLED:
                if apply:
                    await self._blobs.delete(guid)
                yield Finding(guid, "an edit source of a call that has ended", Action.DROP)

    async def _settle(self, row: Image, rescued: bool, apply: bool) -> Finding | None:
        now = self._clock.now()
        if apply and not await self._maintenance.take_over(row.guid, self._owner, now, now + self._lease):
            return None
        result = await self._whole(row.guid)
        if result is None and rescued:
            if not apply:
                return Finding(row.guid, "interrupted, its bytes were rescued", Action.ADOPT)
            await self._stored.adopt_rescued(row.guid)
            result = await self._whole(row.guid)
        if result is not None:
            if apply:
                await self._mark_ready(row.guid, result)
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
            result = await self._whole(guid)
            if result is None or not await self._mark_ready(guid, result):
                return None
        return Finding(guid, "its bytes were rescued", Action.ADOPT)

    async def _compare(
        self, batch: list[StoredBlob], statuses: dict[str, Status], long_ago: datetime, apply: bool
    ) -> AsyncIterator[Finding]:
        for blob in batch:
            status = statuses.get(blob.guid)
            if status not in {Status.FAILED, Status.UNKNOWN}:
                continue
            if blob.size is None:
                # Its process ended between the renaming of the sidecar and that of the bytes.
                late = blob.guid in await self._stored.sizes([blob.guid])
                if blob.modified_at < long_ago and not late and (not apply or await self._quarantine(blob.guid)):
                    yield Finding(blob.guid, f"recorded as {status}, a sidecar without bytes", Action.QUARANTINE)
            else:
                result = await self._whole(blob.guid)
                if result is not None and (not apply or await self._mark_ready(blob.guid, result)):
                    yield Finding(blob.guid, f"recorded as {status}, its bytes are whole", Action.ADOPT)

    async def _quarantine_orphans(self, orphans: list[str], known: int, apply: bool) -> AsyncIterator[Finding]:
        if len(orphans) > max(known, _FEW):
            description = (
                f"{len(orphans)} stored images have no row and {known} have one: this looks like another database; "
                "`pixyproxy rebuild` makes rows for them"
            )
            logger.error("moved nothing to quarantine: %s", description)
            yield Finding("", description, Action.REPORT)
            return
        for guid in orphans:
            if not apply or await self._quarantine(guid):
                yield Finding(guid, "stored without a row", Action.QUARANTINE)

    async def _quarantine(self, guid: str) -> bool:
        """Move stored files to quarantine; return False if another process has done so."""
        try:
            await self._stored.quarantine(guid)
        except BlobMissingError:
            return False
        return True

    async def _missing(self) -> AsyncIterator[Finding]:
        last = 0
        while rows := await self._maintenance.walk(last, BATCH):
            last = rows[-1].id
            ready = {row.guid: row.result and row.result.size_bytes for row in rows if row.status is Status.READY}
            sizes = await self._stored.sizes(list(ready)) if ready else {}
            for guid, size in ready.items():
                if guid not in sizes:
                    # An image that was deleted since its row was read is not lost.
                    if (await self._maintenance.statuses([guid])).get(guid) is Status.READY:
                        logger.error("image %s is ready and its bytes are missing", guid)
                        yield Finding(guid, "its bytes are missing", Action.REPORT)
                elif sizes[guid] != size:
                    logger.error("image %s has %d bytes where %s are recorded", guid, sizes[guid], size)
                    yield Finding(guid, "its bytes do not have the length that is recorded", Action.REPORT)

    async def _whole(self, guid: str) -> ImageResult | None:
        """Return the result in the sidecar if the stored bytes agree with it, else None."""
        try:
            result = result_of(await self._blobs.read_sidecar(guid))
            await self._stored.verify(guid, size=result.size_bytes, sha256=result.sha256)
        except BlobMissingError:
            return None
        except (BlobCorruptError, DataValidationError) as error:
            logger.error("the stored files of image %s are damaged: %s", guid, error.message)
            return None
        return result

    async def _mark_ready(self, guid: str, result: ImageResult) -> bool:
        try:
            # The process that stored the bytes may have ended before it had flushed them.
            await self._stored.make_durable(guid)
            await self._images.mark_ready(guid, result, self._clock.now())
        except (BlobMissingError, ImageNotFoundError):
            return False
        return True
