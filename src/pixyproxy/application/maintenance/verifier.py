"""The use case that reads all stored bytes and compares them with their recorded checksums."""

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
class VerifiedImage:
    """An image whose bytes were read, and the problem with them, if any."""

    guid: str
    size_bytes: int
    problem: str | None


class Verifier:
    """Verifies all ready images; changes nothing."""

    def __init__(self, maintenance: MaintenanceRepository, stored: BlobMaintenance) -> None:
        self._maintenance = maintenance
        self._stored = stored
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def totals(self) -> Totals:
        """Return the number of images to verify and their bytes."""
        return await self._maintenance.totals()

    async def verify_all(self) -> AsyncIterator[VerifiedImage]:
        """Verify each ready image in turn."""
        last = 0
        while images := await self._maintenance.walk(last, _BATCH):
            last = images[-1].id
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._verify(image)) for image in images if image.status is Status.READY]
            for task in tasks:
                yield task.result()

    async def _verify(self, image: Image) -> VerifiedImage:
        size, sha256 = (0, "") if image.result is None else (image.result.size_bytes, image.result.sha256)
        problem = None
        try:
            async with self._places:
                await self._stored.verify(image.guid, size=size, sha256=sha256)
        except (BlobMissingError, BlobCorruptError) as error:
            statuses = await self._maintenance.statuses([image.guid])
            # An image that was deleted since its row was read is not damaged.
            problem = error.message if statuses.get(image.guid) is Status.READY else None
        return VerifiedImage(image.guid, size, problem)
