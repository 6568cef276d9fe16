"""The use case that returns thumbnails of images: each is made when it is first requested, and stored."""

import asyncio
import logging
from dataclasses import dataclass, field

from pixyproxy.application.commands import GetThumbnail, validate
from pixyproxy.application.images.content import ImageContent
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.placeholders import Placeholders
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import BlobStoreError, CapacityExceededError, PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.ports.pictures.picture_scaler import PictureScaler
from pixyproxy.ports.thumbnail_store import ThumbnailStore

logger = logging.getLogger(__name__)

MAX_PENDING = 256
"""Thumbnails that may be requested at a time; several requests of the same one count once."""
_MAX_IN_MEMORY = 4
"""Pictures that are in memory at a time to be scaled."""
_EXTENSIONS = {"image/webp": "webp", "image/jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A thumbnail of a ready image that the viewer may see; nothing is read or made before `read`.

    `tag` identifies its bytes: another image, size or format has another one.
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
        """Return the bytes, which are made unless they are stored.

        Raises:
            DataValidationError: such a picture can have no thumbnail.
            CapacityExceededError: too many thumbnails are being made.
            BlobStoreError: the original is missing or damaged.
        """
        return await self._thumbnails.read(self, self._content, self._size)


class Thumbnails:
    """Makes each thumbnail once, however many requests for it come at the same time, and stores it."""

    def __init__(
        self, images: ImageService, store: ThumbnailStore, scaler: PictureScaler, placeholders: Placeholders
    ) -> None:
        self._images = images
        self._store = store
        self._scaler = scaler
        self._placeholders = placeholders
        self._pending: dict[tuple[str, str], asyncio.Task[bytes]] = {}
        self._in_memory = asyncio.Semaphore(_MAX_IN_MEMORY)

    async def open(
        self, viewer: Viewer, guid: str, data: object, media_type: str, *, by_link: bool = False
    ) -> Thumbnail:
        """Return the thumbnail that a `GetThumbnail` describes, as `image/webp` or `image/jpeg`.

        Access and errors are those of `ImageService.open_content`.
        """
        size = validate(GetThumbnail, data).size
        content = await self._images.open_content(viewer, guid, by_link=by_link)
        # The checksum is part of it because the bytes under a GUID may have changed.
        tag = f"{content.result.sha256[:32]}-{size}.{_EXTENSIONS[media_type]}"
        return Thumbnail(content.image, media_type, tag, content, size, self)

    async def read(self, thumbnail: Thumbnail, content: ImageContent, size: int) -> bytes:
        """Return the bytes of a thumbnail (see `Thumbnail.read`); a cancelled call does not affect others."""
        key = (thumbnail.image.guid, thumbnail.tag)
        task = self._pending.get(key)
        if task is None:
            if len(self._pending) >= MAX_PENDING:
                raise CapacityExceededError(
                    "Too many thumbnails are being made: try again in a moment.", retry_after_s=2
                )
            task = self._pending[key] = asyncio.create_task(self._read_or_make(thumbnail, content, size))
            task.add_done_callback(lambda task: self._forget(key, task))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel the thumbnails that are being made."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: tuple[str, str], task: "asyncio.Task[bytes]") -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio logs nothing if every caller has gone

    async def _read_or_make(self, thumbnail: Thumbnail, content: ImageContent, size: int) -> bytes:
        image = thumbnail.image
        data = await self._store.get(image.guid, thumbnail.tag)
        if data is None:
            async with self._in_memory:
                original = await content.read_whole()
                data = await self._scaler.scale(original, size, thumbnail.media_type)
                del original
            logger.info("made thumbnail %s of image %s", thumbnail.tag, image.guid)
            try:
                await self._store.put(image.guid, thumbnail.tag, data)
            except BlobStoreError as error:
                logger.warning("thumbnail of image %s is not stored: %s", image.guid, error.message)
        if image.placeholder is None:
            try:
                await self._placeholders.make(image.guid, data)
            except PixyProxyException as error:
                logger.info("image %s has no placeholder yet: %s", image.guid, error.message)
        return data
