"""The use case that reads every stored byte and compares it with what was recorded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.maintenance_repository import MaintenanceRepository, Totals

_BATCH = 200
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Verified:
    """An image whose bytes were read, and what is wrong with them (None: nothing)."""

    guid: str
    size_bytes: int
    problem: str | None


class Verifier:
    """Verifies all ready images; changes nothing."""

    def __init__(self, recovery: MaintenanceRepository, stored: BlobMaintenance) -> None:
        self._recovery = recovery
        self._stored = stored

    async def totals(self) -> Totals:
        """How much there is to verify."""
        return await self._recovery.totals()

    async def verify_all(self) -> AsyncIterator[Verified]:
        """Each ready image in turn; raises DBConnectionError or BlobStoreError if one cannot be asked."""
        last, places = 0, asyncio.Semaphore(_AT_ONCE)

        async def verify(image: Image) -> Verified:
            async with places:
                return await self._verify(image)

        while images := await self._recovery.walk(last, _BATCH):
            last = images[-1].id
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(verify(image)) for image in images if image.status is Status.READY]
            for task in tasks:
                yield task.result()

    async def _verify(self, image: Image) -> Verified:
        size, sha256 = (0, "") if image.result is None else (image.result.size_bytes, image.result.sha256)
        problem = None
        try:
            await self._stored.verify(image.guid, size=size, sha256=sha256)
        except (BlobMissingError, BlobCorruptError) as error:
            statuses = await self._recovery.statuses([image.guid])
            # Deleted since its row was read is no damage.
            problem = error.message if statuses.get(image.guid) is Status.READY else None
        return Verified(image.guid, size, problem)
