"""The use cases around images: create, get, search, open content, update, delete."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pixyproxy.application.commands import CreateImage, SearchImages, UpdateImage, validate
from pixyproxy.application.generation import Generations
from pixyproxy.domain import access
from pixyproxy.domain.errors import (
    BlobStoreError,
    DataValidationError,
    FieldError,
    ImageNotFoundError,
    ImageNotReadyError,
)
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.image import (
    GenerationRequest,
    Image,
    ImageChanges,
    ImageDraft,
    Status,
    Visibility,
    new_guid,
    parse_guid,
)
from pixyproxy.domain.query import ImageQuery, Page, decode_cursor
from pixyproxy.domain.text import fold, query_terms
from pixyproxy.ports.blob_store import BlobReader, BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository

logger = logging.getLogger(__name__)

_LEASE_MARGIN = timedelta(seconds=60)
"""How much longer than the upstream's deadline a process may take to store what it got."""
_OPTIONS = ("size", "quality", "background", "output_format")


@dataclass(frozen=True, slots=True)
class ImageContent:
    """The bytes of a ready image that the viewer may see; nothing is opened before `read`."""

    image: Image
    size: int
    sha256: str
    media_type: str
    _blobs: BlobStore

    async def read(self, start: int = 0, stop: int | None = None) -> BlobReader:
        """Open the bytes `start` up to `stop` (None: the end); raises BlobStoreError if they are not there whole."""
        return await self._blobs.read(self.image.guid, size=self.size, start=start, stop=stop)


class ImageService:
    """What can be done with images.

    `viewer` is the username on whose behalf something is done, None for an anonymous caller. Input may be
    a command or any mapping; either is validated here, and DataValidationError says what is wrong with it.
    Every method raises DBConnectionError while the database is away.
    """

    def __init__(
        self, images: ImageRepository, blobs: BlobStore, generations: Generations, clock: Clock, *, owner: str
    ) -> None:
        """`owner` names this process in the leases of the generations it works on."""
        self._images = images
        self._blobs = blobs
        self._generations = generations
        self._clock = clock
        self._owner = owner

    async def create(self, viewer: str | None, data: object) -> Image:
        """Have a picture made, stored and recorded, and return it.

        Once the row exists the generation goes on to its end even if this call is cancelled. Raises a
        GeneratorError if no picture was made, CapacityExceededError or BlobStoreError before anything is
        paid, and BlobStoreError or DBConnectionError (with the guid) if the picture could not be put in
        its place or recorded.
        """
        command = validate(CreateImage, data)
        if viewer is None and command.visibility is Visibility.PRIVATE:
            message = "must be public for an anonymous caller: log in to make a private image"
            raise DataValidationError(f"visibility {message}", [FieldError(("visibility",), message)])
        options = {name: value for name in _OPTIONS if (value := getattr(command, name)) is not None}
        return await self._generations.run(
            self._draft(viewer, command, options),
            GenerationRequest(prompt=command.prompt, model=command.model, options=options),
            keep_filename=command.filename is not None,
        )

    async def get(self, viewer: str | None, guid: str) -> Image:
        """The image, whatever its status; raises ImageNotFoundError if there is none that the viewer may see."""
        image = await self._images.get(parse_guid(guid))
        access.ensure_visible(image, viewer)
        return image

    async def search(self, viewer: str | None, data: object) -> Page:
        """The images that match all filters and that the viewer may see, newest first."""
        command = validate(SearchImages, data)
        guid = None
        if command.guid is not None:
            try:
                guid = parse_guid(command.guid)
            except ImageNotFoundError:
                message = "must be a GUID such as 0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"
                raise DataValidationError(f"guid {message}", [FieldError(("guid",), message)]) from None
        query = ImageQuery(
            viewer=viewer,
            limit=command.limit,
            before_id=None if command.cursor is None else decode_cursor(command.cursor),
            terms=() if command.prompt is None else query_terms(command.prompt),
            filename=None if command.filename is None else fold(command.filename),
            guid=guid,
            tags=tuple(command.tag or ()),
            author=command.author,
            visibility=command.visibility,
            status=command.status,
            created_after=command.created_after,
            created_before=command.created_before,
        )
        return await self._images.search(query)

    async def open_content(self, viewer: str | None, guid: str) -> ImageContent:
        """The content of an image; raises ImageNotReadyError if it has none (yet), with a delay if one may come."""
        image = await self.get(viewer, guid)
        if image.status is Status.GENERATING:
            raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=2)
        if image.size_bytes is None or image.sha256 is None or image.media_type is None:
            # Not a temporary state, but somebody may yet settle an unknown one: ask again much later.
            raise ImageNotReadyError(
                f"The image has no content: its status is {image.status.value}.", guid=image.guid, retry_after_s=3600
            )
        return ImageContent(image, image.size_bytes, image.sha256, image.media_type, self._blobs)

    async def update(self, viewer: str | None, guid: str, data: object) -> Image:
        """Change tags, visibility or file name; only the author may (see `access.ensure_may_change`)."""
        access.ensure_logged_in(viewer)
        command = validate(UpdateImage, data)
        image = await self._images.get(parse_guid(guid))
        access.ensure_may_change(image, viewer)
        changes = ImageChanges(
            filename=command.filename,
            tags=None if command.tags is None else tuple(command.tags),
            visibility=command.visibility,
        )
        if changes == ImageChanges():
            return image
        return await self._images.update(image.guid, changes, self._clock.now())

    async def delete(self, viewer: str | None, guid: str) -> None:
        """Delete the image: the row first, the bytes after; only the author may."""
        access.ensure_logged_in(viewer)
        image = await self._images.get(parse_guid(guid))
        access.ensure_may_change(image, viewer)
        await self._images.delete(image.guid)
        try:
            await self._blobs.delete(image.guid)
        except BlobStoreError as error:
            # The image is gone for every caller; what remains is a file without a row.
            logger.warning("bytes of deleted image %s remain in the blob store: %s", image.guid, error.message)

    def _draft(self, viewer: str | None, command: CreateImage, options: dict[str, Any]) -> ImageDraft:
        guid, now = new_guid(), self._clock.now()
        wanted = f"image/{command.output_format or 'png'}".lower().replace("/jpg", "/jpeg")
        return ImageDraft(
            guid=guid,
            filename=command.filename or filename_for(command.prompt, guid, wanted),
            prompt=command.prompt,
            tags=tuple(command.tags or ()),
            author=viewer,
            visibility=command.visibility or Visibility.PUBLIC,
            generator=self._generations.generator_name,
            model=command.model,
            parameters=options,
            created_at=now,
            lease_owner=self._owner,
            lease_expires_at=now + timedelta(seconds=self._generations.timeout_s) + _LEASE_MARGIN,
        )
