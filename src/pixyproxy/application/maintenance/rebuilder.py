"""The use case that rebuilds a database from the sidecars in the blob store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pixyproxy.application.generation.sidecar import image_of
from pixyproxy.domain.errors import BlobStoreError, ConstraintViolationError, DataValidationError
from pixyproxy.domain.image import Image
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

BATCH = 500
"""Images of one transaction: six times as many per second as one at a time (`python -m benchmarks.rebuild`)."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A stored image and its outcome: `restored`, `known` if it had a row already, or an error message."""

    guid: str
    outcome: str


class Rebuilder:
    """Makes rows from sidecars; changes no existing row."""

    def __init__(self, maintenance: MaintenanceRepository, stored: BlobMaintenance, *, batch: int = BATCH) -> None:
        """Restore `batch` images by one transaction."""
        self._maintenance = maintenance
        self._stored = stored
        self._batch = batch

    async def find(self) -> list[str]:
        """Return the GUIDs of all stored bytes, oldest first, so that ids grow with time again."""
        found = [(blob.modified_at, blob.guid) async for blob in self._stored.walk() if blob.size is not None]
        return [guid for _, guid in sorted(found)]

    async def rebuild(self, guids: list[str]) -> AsyncIterator[Rebuilt]:
        """Restore each image whose sidecar agrees with its bytes in length, and yield each outcome.

        The sidecars of one batch are read while the rows of the one before are written.
        """
        batches = [guids[start : start + self._batch] for start in range(0, len(guids), self._batch)]
        reading = asyncio.create_task(self._read(batches[0])) if batches else None
        try:
            for following in [*batches[1:], None]:
                if reading is None:
                    return
                found = await reading
                reading = None if following is None else asyncio.create_task(self._read(following))
                for rebuilt in await self._restore(found):
                    yield rebuilt
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, guids: list[str]) -> dict[str, Image | str]:
        """Return for each GUID the image that its sidecar describes, or its outcome: `known` or an error message."""
        known = await self._maintenance.statuses(guids)
        found: dict[str, Image | str] = dict.fromkeys(guids, "known")
        unknown = [guid for guid in guids if guid not in known]
        sidecars = await self._stored.sidecars(unknown)
        sizes = await self._stored.sizes(unknown)
        for guid, sidecar in sidecars.items():
            found[guid] = sidecar.message if isinstance(sidecar, BlobStoreError) else _image(guid, sidecar, sizes)
        return found

    async def _restore(self, found: dict[str, Image | str]) -> list[Rebuilt]:
        outcomes = {guid: image for guid, image in found.items() if isinstance(image, str)}
        images = [image for image in found.values() if isinstance(image, Image)]
        try:
            outcomes |= await self._add(images)
        except (ConstraintViolationError, DataValidationError):
            for image in images:
                # Each alone, so that one that the database refuses keeps no other out.
                try:
                    outcomes |= await self._add([image])
                except (ConstraintViolationError, DataValidationError) as error:
                    outcomes[image.guid] = error.message
        return [Rebuilt(guid, outcomes[guid]) for guid in found]

    async def _add(self, images: list[Image]) -> dict[str, str]:
        restored = await self._maintenance.restore_all(images) if images else ()
        return {image.guid: "restored" if added else "known" for image, added in zip(images, restored, strict=True)}


def _image(guid: str, sidecar: dict[str, Any], sizes: dict[str, int]) -> Image | str:
    """Return the image that a sidecar describes, or an error message."""
    try:
        image = image_of(sidecar)
    except DataValidationError as error:
        return error.message
    if image.guid != guid or image.result is None or sizes.get(guid) != image.result.size_bytes:
        return "The sidecar describes other bytes."
    return image
