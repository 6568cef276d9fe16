"""The use cases around images: create, get, search, open content, update, delete."""

import logging

from pixyproxy.application.commands import CreateImage, GenerateImages, SearchImages, UpdateImage, validate
from pixyproxy.application.generation.callers import Caller
from pixyproxy.application.generation.edit_sources import EditSourceReader, EditSources, SourceReferences
from pixyproxy.application.generation.recorder import GenerationOutcome
from pixyproxy.application.generation.runner import OnPartial
from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.generation.submission import Submission, Submitter
from pixyproxy.application.images.content import ChecksumCache, ImageContent
from pixyproxy.domain import access
from pixyproxy.domain.errors import BlobStoreError, DataValidationError, ImageNotReadyError
from pixyproxy.domain.image import Image, ImageChanges, Status, parse_guid
from pixyproxy.domain.query import ImageQuery, Page, decode_cursor
from pixyproxy.domain.search_terms import fold, query_terms
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.thumbnail_store import ThumbnailStore

logger = logging.getLogger(__name__)


class ImageService:
    """The use cases of images.

    `viewer` is the username of the caller, None for an anonymous one. Input may be a command or any mapping; either
    is validated here, and DataValidationError lists its faults. Every method raises DBConnectionError while the
    database is away; methods for authors raise what `access.require_author` raises.
    """

    def __init__(
        self,
        images: ImageRepository,
        blobs: BlobStore,
        thumbnails: ThumbnailStore,
        submitter: Submitter,
        sources: EditSourceReader,
        clock: Clock,
    ) -> None:
        self._images = images
        self._blobs = blobs
        self._thumbnails = thumbnails
        self._submitter = submitter
        self._sources = sources
        self._clock = clock
        self._checksums = ChecksumCache()

    async def create(
        self,
        viewer: str | None,
        data: object,
        *,
        idempotency_key: str | None = None,
        wait: bool = True,
        caller: Caller | None = None,
    ) -> GenerationOutcome:
        """Generate, store and record a picture, and return it; with `wait` False, return once its row is committed.

        From then on the generation runs to its end even if this call is cancelled. A repeat with the same key and the
        same request joins the first while it runs, and gets its outcome afterwards, errors too. One without a key
        does so while the first is uncertain. `caller` learns which images it waits for.

        Raises:
            GeneratorError: if no picture was made.
            CapacityExceededError: before anything is paid.
            BlobStoreError, DBConnectionError: before anything is paid; or with the GUID, if the picture was paid for
                but could not be stored or recorded.
            IdempotencyKeyReusedError: if the key was used for another request.
        """
        command = validate(CreateImage, data)
        sources = await self._sources.read(viewer, SourceReferences(command.edit_of or ()))
        submission = _submission(viewer, command, sources)
        return await self._submitter.submit(submission, idempotency_key=idempotency_key, wait=wait, caller=caller)

    async def generate(
        self,
        viewer: str | None,
        data: object,
        sources: SourceReferences | None = None,
        *,
        idempotency_key: str | None = None,
        retried: bool = False,
        caller: Caller | None = None,
        on_partial: OnPartial | None = None,
    ) -> GenerationOutcome:
        """Generate pictures by one call, from a prompt or from `sources`, whose files are closed in the end.

        The promises and errors are those of `create`. The pictures that are ready are returned; an error is raised if
        none is. Early views go to `on_partial` if the generator has any. A request with `retried` and without a key
        joins an identical one that is running or ended recently.
        """
        sources = sources or SourceReferences()
        try:
            command = validate(GenerateImages, data)
        except DataValidationError:
            sources.close()
            raise
        submission = _submission(viewer, command, await self._sources.read(viewer, sources), command.n or 1)
        return await self._submitter.submit(
            submission, idempotency_key=idempotency_key, retried=retried, caller=caller, on_partial=on_partial
        )

    async def get(self, viewer: str | None, guid: str) -> Image:
        """Return an image, whatever its status; raise ImageNotFoundError if there is none that the viewer may see."""
        image = await self._images.get(parse_guid(guid))
        access.require_visible(image, viewer)
        return image

    async def search(self, viewer: str | None, data: object) -> Page:
        """Return the images that match all filters and that the viewer may see, newest first."""
        command = validate(SearchImages, data)
        query = ImageQuery(
            viewer=viewer,
            limit=command.limit,
            before_id=None if command.cursor is None else decode_cursor(command.cursor),
            terms=() if command.prompt is None else query_terms(command.prompt),
            filename=None if command.filename is None else fold(command.filename),
            guid=command.guid,
            tags=tuple(command.tag or ()),
            author=command.author,
            visibility=command.visibility,
            status=Status(command.status),
            created_after=command.created_after,
            created_before=command.created_before,
            derived_from=command.derived_from,
        )
        return await self._images.search(query)

    async def open_content(self, viewer: str | None, guid: str, *, by_link: bool = False) -> ImageContent:
        """Return the content of an image; with `by_link` the viewer has a signed URL, which replaces the access check.

        The errors are those of `get` and `ImageContent.of`.
        """
        image = await self._images.get(parse_guid(guid)) if by_link else await self.get(viewer, guid)
        return self.content_of(image)

    def content_of(self, image: Image) -> ImageContent:
        """Return the content of an image; raise ImageNotReadyError if it has none."""
        return ImageContent.of(image, self._blobs, self._checksums)

    async def update(self, viewer: str | None, guid: str, data: object) -> Image:
        """Change tags, visibility or file name, as the author; raise ImageNotReadyError during the generation."""
        access.require_login(viewer)
        command = validate(UpdateImage, data)
        image = await self._images.get(parse_guid(guid))
        access.require_author(image, viewer)
        if image.status is Status.GENERATING:
            # Its sidecar is being written without the change.
            raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=2)
        changes = ImageChanges(
            filename=command.filename,
            tags=None if command.tags is None else tuple(command.tags),
            visibility=command.visibility,
        )
        if changes == ImageChanges():
            return image
        image = await self._images.update(image.guid, changes, self._clock.now())
        if image.status is Status.READY:
            try:
                await self._blobs.replace_sidecar(image.guid, sidecar_of(image))
            except BlobStoreError as error:
                # The row has the change; only a database rebuilt from sidecars would lack it.
                logger.error("could not update the sidecar of image %s: %s", image.guid, error.message)
        return image

    async def delete(self, viewer: str | None, guid: str) -> None:
        """Delete an image, as its author: the row first, then the bytes."""
        access.require_login(viewer)
        image = await self._images.get(parse_guid(guid))
        access.require_author(image, viewer)
        await self._images.delete(image.guid)
        try:
            await self._blobs.delete(image.guid)
            await self._thumbnails.delete(image.guid)
        except BlobStoreError as error:
            # For callers the image is gone; the sweep finds the file without a row.
            logger.warning("bytes of deleted image %s remain in the blob store: %s", image.guid, error.message)


def _submission(
    viewer: str | None, command: CreateImage | GenerateImages, sources: EditSources, n: int = 1
) -> Submission:
    return Submission(
        viewer=viewer,
        prompt=command.prompt,
        model=command.model,
        options=command.options,
        n=n,
        tags=command.tags,
        visibility=command.visibility,
        filename=command.filename,
        sources=sources,
    )
