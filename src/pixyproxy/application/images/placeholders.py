"""Placeholders of images that have just become ready, made in the background."""

import asyncio
import logging

from pixyproxy.application.images.content import ImageContent
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.pictures.picture_scaler import PictureScaler

logger = logging.getLogger(__name__)

MAX_QUEUED = 16
"""Images that wait for their placeholder; one that finds the queue full gets it with its first thumbnail."""
REST = 19
"""Pause after each placeholder, as a multiple of the time it took: about a twentieth of a core suffices."""


class Placeholders:
    """Makes placeholders one after the other; the queue holds images, whose bytes are read again from the store."""

    def __init__(self, images: ImageRepository, blobs: BlobStore, scaler: PictureScaler) -> None:
        self._images = images
        self._blobs = blobs
        self._scaler = scaler
        self._queue: asyncio.Queue[Image] = asyncio.Queue(MAX_QUEUED)

    def offer(self, image: Image) -> None:
        """Queue a ready image for its placeholder, unless the queue is full; never waits, never fails."""
        if not self._queue.full():
            self._queue.put_nowait(image)

    async def run(self) -> None:
        """Make the placeholders of queued images until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            image = await self._queue.get()
            started = clock()
            try:
                await self.make(image.guid, await ImageContent.of(image, self._blobs).read_whole())
            except PixyProxyException as error:
                logger.info("image %s has no placeholder yet: %s", image.guid, error.message)
            except Exception:
                logger.exception("making the placeholder of image %s failed unexpectedly", image.guid)
            await asyncio.sleep(REST * (clock() - started))

    async def make(self, guid: str, data: bytes) -> None:
        """Make and record the placeholder of an image from its bytes or from a thumbnail."""
        await self._images.set_placeholder(guid, await self._scaler.placeholder(data))
