"""Pictures without a sidecar: a store that writes it after the bytes can be interrupted in between."""

from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.domain.errors import BlobMissingError
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Image
from pixyproxy.ports.blob_maintenance import BlobMaintenance
from pixyproxy.ports.blob_store import BlobStore


class UndescribedPictures:
    """Records interrupted images whose bytes are a picture and were never described.

    The bytes tell type and size; what only the sidecar would have told, such as the usage, stays unknown.
    """

    def __init__(self, blobs: BlobStore, stored: BlobMaintenance, recorder: OutcomeRecorder) -> None:
        self._blobs = blobs
        self._stored = stored
        self._recorder = recorder

    async def adopt(self, image: Image, *, apply: bool) -> bool:
        """Describe the bytes of an image and record it; return False if they are missing, described or no picture."""
        size = (await self._stored.sizes([image.guid])).get(image.guid)
        if size is None:
            return False
        sidecar = (await self._stored.sidecars([image.guid]))[image.guid]
        if not isinstance(sidecar, BlobMissingError):
            return False
        async with await self._blobs.read(image.guid, size=size) as reader:
            picture = GeneratedImage(b"".join([piece async for piece in reader]))
        if not await self._recorder.is_picture(picture):
            return False
        return not apply or await self._recorder.adopt(image, picture)
