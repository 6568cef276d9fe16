"""The comparison of stored files with rows, both ways, shard by shard; it deletes no picture."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pixyproxy.application.maintenance.findings import BATCH, Action, Finding, batches
from pixyproxy.application.maintenance.rescued_responses import RescuedResponses
from pixyproxy.application.maintenance.sweeping.stored_results import StoredResults
from pixyproxy.application.queue.stored_sources import owner_of
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError
from pixyproxy.domain.image import SETTLED, Status
from pixyproxy.ports.blob_maintenance import BlobMaintenance, StoredBlob
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.maintenance_repository import MaintenanceRepository, RowSummary
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.thumbnail_store import ThumbnailStore

logger = logging.getLogger(__name__)

SHARDS = tuple(f"{number:02x}" for number in range(256))
"""The first two digits of GUIDs; files and rows of one shard are compared at a time."""
_FEW = 10
"""A sweep of all shards quarantines up to this many images without a row even if fewer stored ones have a row."""
_LONGEST_GENERATION = timedelta(days=1)
"""A charge that is reserved for longer, and whose image is gone, is ended by nobody else."""

_T = TypeVar("_T")


@dataclass(slots=True)
class SweepPosition:
    """The number of the shard with which a sweep goes on; 256 if only its end is left, and then 0."""

    shard: int = 0


class Sweep:
    """Finds what is only stored or only recorded, and puts it in order."""

    def __init__(
        self,
        maintenance: MaintenanceRepository,
        blobs: BlobStore,
        stored: BlobMaintenance,
        thumbnails: ThumbnailStore,
        ledger: Ledger,
        responses: RescuedResponses,
        results: StoredResults,
        clock: Clock,
        *,
        lease: timedelta,
    ) -> None:
        """Files that changed within `lease` may still be written."""
        self._maintenance = maintenance
        self._blobs = blobs
        self._stored = stored
        self._thumbnails = thumbnails
        self._ledger = ledger
        self._responses = responses
        self._results = results
        self._clock = clock
        self._lease = lease

    async def run(self, position: SweepPosition, *, apply: bool, pictures: float = math.inf) -> AsyncIterator[Finding]:
        """Compare shards from the position on until they hold so many pictures, and move the position.

        The files and rows of one shard are in memory at a time. After the last shard comes what belongs to none. If
        most pictures of these shards have no row, nothing is moved: this is probably another database. The position
        moves before a shard is compared: after an error it is past the shard that raised it.
        """
        begun_at = position.shard
        long_ago = self._clock.now() - self._lease
        orphans: list[str] = []
        known = seen = 0
        while position.shard < len(SHARDS) and seen < pictures:
            shard = SHARDS[position.shard]
            position.shard += 1
            stored = {blob.guid: blob async for blob in self._stored.walk(shard)}
            # Bytes are stored after their row is committed: without a row, the row was deleted.
            rows = await self._rows(shard)
            here = [guid for guid in stored if guid not in rows]
            known += len(stored) - len(here)
            orphans += [guid for guid in here if stored[guid].modified_at < long_ago]
            async for finding in self._compare(stored, rows, long_ago, apply):
                yield finding
            async for finding in self._drop_thumbnails(shard, rows, apply):
                yield finding
            if apply and (count := await self._stored.quarantine_debris(long_ago, shard)):
                yield Finding("", f"{count} half-written files", Action.QUARANTINE)
            seen += max(len(stored), len(rows))
        async for finding in self._drop_edit_sources(orphans, apply):
            yield finding
        # A few in each of many steps would be many.
        is_whole = begun_at == 0 and position.shard == len(SHARDS)
        async for finding in self._quarantine_orphans(orphans, max(known, _FEW) if is_whole else known, known, apply):
            yield finding
        if position.shard == len(SHARDS):
            position.shard = 0
            async for finding in self._finish(apply):
                yield finding

    async def _rows(self, shard: str) -> dict[str, RowSummary]:
        rows: dict[str, RowSummary] = {}
        last = ""
        while page := await self._maintenance.summaries(shard, last, BATCH):
            rows |= {row.guid: row for row in page}
            last = page[-1].guid
        return rows

    async def _compare(
        self, stored: dict[str, StoredBlob], rows: dict[str, RowSummary], long_ago: datetime, apply: bool
    ) -> AsyncIterator[Finding]:
        for batch in _slices(list(rows.values())):
            await asyncio.sleep(0)  # requests go first
            unlike: list[RowSummary] = []
            for row in batch:
                blob = stored.get(row.guid)
                if row.status is Status.READY and (blob is None or blob.size != row.size_bytes):
                    unlike.append(row)
                elif (
                    blob is not None
                    and row.status in {Status.FAILED, Status.UNKNOWN}
                    and (finding := await self._settled_without(blob, row.status, long_ago, apply)) is not None
                ):
                    yield finding
            if unlike:
                async for finding in self._report(unlike):
                    yield finding

    async def _settled_without(
        self, blob: StoredBlob, status: Status, long_ago: datetime, apply: bool
    ) -> Finding | None:
        """Deal with files of a row that says that there is no picture."""
        if blob.size is not None:
            result = await self._results.whole(blob.guid)
            if result is not None and (not apply or await self._results.mark_ready(blob.guid, result)):
                return Finding(blob.guid, f"recorded as {status}, its bytes are whole", Action.ADOPT)
            return None
        # Its process ended between the renaming of the sidecar and that of the bytes.
        late = blob.guid in await self._stored.sizes([blob.guid])
        if blob.modified_at < long_ago and not late and (not apply or await self._quarantine(blob.guid)):
            return Finding(blob.guid, f"recorded as {status}, a sidecar without bytes", Action.QUARANTINE)
        return None

    async def _report(self, rows: Sequence[RowSummary]) -> AsyncIterator[Finding]:
        """Report rows that are ready and whose bytes are missing or of another length, looked for once more.

        A picture may have been stored since its shard was listed.
        """
        sizes = await self._stored.sizes([row.guid for row in rows])
        for row in rows:
            if row.guid not in sizes:
                # An image that was deleted since its row was read is not lost.
                if (await self._maintenance.statuses([row.guid])).get(row.guid) is Status.READY:
                    logger.error("image %s is ready and its bytes are missing", row.guid)
                    yield Finding(row.guid, "its bytes are missing", Action.REPORT)
            elif sizes[row.guid] != row.size_bytes:
                logger.error("image %s has %d bytes where %s are recorded", row.guid, sizes[row.guid], row.size_bytes)
                yield Finding(row.guid, "its bytes do not have the length that is recorded", Action.REPORT)

    async def _drop_thumbnails(self, shard: str, rows: dict[str, RowSummary], apply: bool) -> AsyncIterator[Finding]:
        """Delete thumbnails without a row: a process ended after it had deleted their image."""
        async for batch in batches(self._thumbnails.walk(shard)):
            if not (unknown := [guid for guid in batch if guid not in rows]):
                continue
            # The row may be newer than `rows`.
            statuses = await self._maintenance.statuses(unknown)
            for guid in unknown:
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

    async def _quarantine_orphans(
        self, orphans: list[str], at_most: int, known: int, apply: bool
    ) -> AsyncIterator[Finding]:
        if len(orphans) > at_most:
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

    async def _finish(self, apply: bool) -> AsyncIterator[Finding]:
        """Put in order what belongs to no shard."""
        async for finding in self._responses.adopt(apply=apply):
            yield finding
        if apply and (count := await self._ledger.end_overlooked()):
            yield Finding("", f"{count} charges of images that an older version ended", Action.SETTLE)
        if apply and (count := await self._ledger.hold_orphans(self._clock.now() - _LONGEST_GENERATION)):
            yield Finding("", f"{count} charges of deleted images that may have been billed", Action.SETTLE)


def _slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))
