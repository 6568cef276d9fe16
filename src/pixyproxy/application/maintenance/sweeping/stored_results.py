"""Results that stored pictures are described with, and rows that become ready by them."""

import logging

from pixyproxy.application.generation.sidecar import result_of
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, DataValidationError, ImageNotFoundError
from pixyproxy.domain.image import ImageResult
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository

logger = logging.getLogger(__name__)


class StoredResults:
    """Reads sidecars whose bytes are whole, and records them."""

    def __init__(self, images: ImageRepository, blobs: BlobStore, stored: BlobMaintenance, clock: Clock) -> None:
        self._images = images
        self._blobs = blobs
        self._stored = stored
        self._clock = clock

    async def whole(self, guid: str) -> ImageResult | None:
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

    async def mark_ready(self, guid: str, result: ImageResult) -> bool:
        """Make bytes durable and their row ready; return False if one of them is gone."""
        try:
            # The process that stored the bytes may have ended before it had flushed them.
            await self._stored.make_durable(guid)
            await self._images.mark_ready(guid, result, self._clock.now())
        except (BlobMissingError, ImageNotFoundError):
            return False
        return True
