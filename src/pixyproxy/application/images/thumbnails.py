"""The use case that delivers images in small: made once, at first demand, and kept."""

import asyncio
import logging
from dataclasses import dataclass, field

from pixyproxy.application.commands import GetThumbnail, validate
from pixyproxy.application.images.content import ImageContent
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.placeholders import Placeholders
from pixyproxy.domain.errors import BlobStoreError, CapacityExceededError, PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.picture_scaler import PictureScaler

logger = logging.getLogger(__name__)

MAX_MAKING = 256
"""Thumbnails that may be asked for at a time, besides those for which another waits already."""
_AT_ONCE = 4
"""Pictures that are held in memory at a time to be scaled."""
_EXTENSIONS = {"image/webp": "webp", "image/jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A thumbnail of a ready image that the viewer may see; nothing is read or made before `read`.

    `tag` names its bytes: another image, size or format has another.
    """

    image: Image
    media_type: str
    tag: str
    _content: ImageContent = field(repr=False)
    _size: int
    _thumbnails: "Thumbnails" = field(repr=False)

    @property
    def filename(self) -> str:
        """The file name of the image, with the extension of the thumbnail."""
        stem = self.image.request.filename.rpartition(".")[0] or self.image.request.filename
        return f"{stem}.{_EXTENSIONS[self.media_type]}"

    async def read(self) -> bytes:
        """The bytes, made unless they are kept.

        Raises DataValidationError if there is no thumbnail of such a picture, CapacityExceededError while too many
        are being made, BlobStoreError if the original is not there whole.
        """
        return await self._thumbnails.bytes_of(self, self._content, self._size)


class Thumbnails:
    """Makes each thumbnail once, however many ask for it at the same time, and keeps it with the image."""

    def __init__(
        self, images: ImageService, blobs: BlobStore, scaler: PictureScaler, placeholders: Placeholders
    ) -> None:
        self._images = images
        self._blobs = blobs
        self._scaler = scaler
        self._placeholders = placeholders
        self._making: dict[tuple[str, str], asyncio.Task[bytes]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def open(
        self, viewer: str | None, guid: str, data: object, media_type: str, *, by_link: bool = False
    ) -> Thumbnail:
        """The thumbnail that a `GetThumbnail` asks for, as `image/webp` or `image/jpeg`.

        Who may see it, and what is raised if there is none, is as with `ImageService.open_content`.
        """
        size = validate(GetThumbnail, data).size
        content = await self._images.open_content(viewer, guid, by_link=by_link)
        # By what the bytes are: those of a GUID may have been others once.
        tag = f"{content.result.sha256[:32]}-{size}.{_EXTENSIONS[media_type]}"
        return Thumbnail(content.image, media_type, tag, content, size, self)

    async def bytes_of(self, thumbnail: Thumbnail, content: ImageContent, size: int) -> bytes:
        """See `Thumbnail.read`. Cancelling this call harms nobody else who waits for the same."""
        key = (thumbnail.image.guid, thumbnail.tag)
        task = self._making.get(key)
        if task is None:
            if len(self._making) >= MAX_MAKING:
                raise CapacityExceededError(
                    "Too many thumbnails are being made: try again in a moment.", retry_after_s=2
                )
            task = self._making[key] = asyncio.create_task(self._bytes(thumbnail, content, size))
            task.add_done_callback(lambda task: self._done(key, task))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, key: tuple[str, str], task: asyncio.Task[bytes]) -> None:
        del self._making[key]
        if not task.cancelled():
            task.exception()  # whoever asked may have hung up: nobody is to be told that nobody saw it

    async def _bytes(self, thumbnail: Thumbnail, content: ImageContent, size: int) -> bytes:
        image = thumbnail.image
        data = await self._blobs.read_derivative(image.guid, thumbnail.tag)
        if data is None:
            async with self._places:
                original = await content.read_whole()
                data = await self._scaler.scale(original, size, thumbnail.media_type)
                del original
            logger.info("a thumbnail of image %s was made: %s", image.guid, thumbnail.tag)
            try:
                await self._blobs.put_derivative(image.guid, thumbnail.tag, data)
            except BlobStoreError as error:
                logger.warning("a thumbnail of image %s is not kept: %s", image.guid, error.message)
        if image.placeholder is None:
            try:
                await self._placeholders.make(image.guid, data)
            except PixyProxyException as error:
                logger.info("image %s has no placeholder yet: %s", image.guid, error.message)
        return data
