"""The use case that rebuilds a database from the sidecars in the blob store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pixyproxy.application.generation.sidecar import image_of
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, DataValidationError
from pixyproxy.domain.image import Image
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.maintenance_repository import MaintenanceRepository


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A stored image and its outcome: `restored`, `known` if it had a row already, or an error message."""

    guid: str
    outcome: str


class Rebuilder:
    """Makes rows from sidecars; changes no existing row."""

    def __init__(self, maintenance: MaintenanceRepository, blobs: BlobStore, stored: BlobMaintenance) -> None:
        self._maintenance = maintenance
        self._blobs = blobs
        self._stored = stored

    async def find(self) -> list[str]:
        """Return the GUIDs of all stored bytes, oldest first, so that ids grow with time again."""
        found = [(blob.modified_at, blob.guid) async for blob in self._stored.walk() if blob.size is not None]
        return [guid for _, guid in sorted(found)]

    async def rebuild(self, guids: list[str]) -> AsyncIterator[Rebuilt]:
        """Restore each image whose sidecar agrees with its bytes in length, and yield each outcome."""
        for guid in guids:
            try:
                image = await self._described(guid)
            except (BlobMissingError, BlobCorruptError, DataValidationError) as error:
                yield Rebuilt(guid, error.message)
                continue
            yield Rebuilt(guid, "restored" if await self._maintenance.restore(image) else "known")

    async def _described(self, guid: str) -> Image:
        image = image_of(await self._blobs.read_sidecar(guid))
        size = (await self._stored.sizes([guid])).get(guid)
        if image.guid != guid or image.result is None or size != image.result.size_bytes:
            raise BlobCorruptError("The sidecar describes other bytes.")
        return image
