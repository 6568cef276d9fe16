"""The use cases around images: create, get, search, open content, update, delete."""

import logging
from collections.abc import Callable

from pixyproxy.application.commands import CreateImage, DeleteImage, GenerateImages, UpdateImage, validate
from pixyproxy.application.generation.callers import Caller
from pixyproxy.application.generation.edit_sources import EditSourceReader, EditSources, SourceReferences
from pixyproxy.application.generation.run import Watcher
from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.generation.submission import Submission, Submitter
from pixyproxy.application.images.content import ChecksumCache, ImageContent
from pixyproxy.application.images.cursors import ImagePage
from pixyproxy.application.images.image_search import ImageSearch
from pixyproxy.application.images.sidecar_updates import update_sidecar
from pixyproxy.application.option_limits import OptionLimits
from pixyproxy.domain import access
from pixyproxy.domain.access import Viewer, username_of
from pixyproxy.domain.errors import BlobStoreError, ImageNotReadyError, UserNotFoundError
from pixyproxy.domain.generation import GenerationOutcome, QueuePlace
from pixyproxy.domain.image import UNDER_WAY, Image, ImageChanges, Status, parse_guid
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.thumbnail_store import ThumbnailStore

logger = logging.getLogger(__name__)


class ImageService:
    """The use cases of images.

    `viewer` is the caller (see `access.Viewer`). Input may be a command or any mapping; either
    is validated here, and DataValidationError lists its faults. Every method raises DBConnectionError while the
    database is away; methods for authors raise what `access.require_author` raises.
    """

    def __init__(
        self,
        images: ImageRepository,
        blobs: BlobStore,
        thumbnails: ThumbnailStore,
        submitter: Submitter,
        runner: GenerationRunner,
        sources: EditSourceReader,
        users: UserRepository,
        clock: Clock,
        search: ImageSearch,
        option_limits: OptionLimits,
    ) -> None:
        self._images = images
        self._blobs = blobs
        self._thumbnails = thumbnails
        self._submitter = submitter
        self._runner = runner
        self._sources = sources
        self._users = users
        self._clock = clock
        self._search = search
        self._option_limits = option_limits
        self._checksums = ChecksumCache()

    async def create(
        self,
        viewer: Viewer,
        data: object,
        *,
        idempotency_key: str | None = None,
        wait: bool = True,
        caller: Caller | None = None,
        watcher: Watcher | None = None,
    ) -> GenerationOutcome:
        """Generate, store and record a picture, and return it; with `wait` False, return once its row is committed.

        From then on the generation runs to its end even if this call is cancelled. A repeat with the same key and the
        same request joins the first while it runs, and gets its outcome afterwards, errors too. One without a key
        does so while the first is uncertain. `caller` learns which images it waits for, `watcher` how they get on.

        Raises:
            GeneratorError: if no picture was made.
            CapacityExceededError: before anything is paid.
            BlobStoreError, DBConnectionError: before anything is paid; or with the GUID, if the picture was paid for
                but could not be stored or recorded.
            IdempotencyKeyReusedError: if the key was used for another request.
        """
        command = validate(CreateImage, data)
        self._option_limits.check(command.options)
        if command.edit_of:
            self.require_editing()
        sources = await self._sources.read(viewer, SourceReferences(command.edit_of or ()))
        submission = _submission(viewer, command, sources)
        return await self._submitter.submit(
            submission, idempotency_key=idempotency_key, wait=wait, caller=caller, watcher=watcher
        )

    def require_editing(self) -> None:
        """Raise EditingUnsupportedError if no edit can be made, to be asked before pictures are read for one."""
        self._submitter.require_editing()

    async def generate(
        self,
        viewer: Viewer,
        data: object,
        sources: SourceReferences | None = None,
        *,
        idempotency_key: str | None = None,
        retried: bool = False,
        wait: bool = True,
        caller: Caller | None = None,
        watcher: Watcher | None = None,
    ) -> GenerationOutcome:
        """Generate pictures by one call, from a prompt or from `sources`, whose files are closed in the end.

        The promises and errors are those of `create`. The pictures that are ready are returned, with `wait` False all
        as soon as their rows are committed; an error is raised if none is. A request with `retried` and without a key
        joins an identical one that is running or ended recently.
        """
        sources = sources or SourceReferences()
        try:
            command = validate(GenerateImages, data)
            self._option_limits.check(command.options)
            if sources.images:
                self.require_editing()
        except BaseException:
            sources.close()
            raise
        submission = _submission(viewer, command, await self._sources.read(viewer, sources), command.n or 1)
        return await self._submitter.submit(
            submission,
            idempotency_key=idempotency_key,
            retried=retried,
            wait=wait,
            caller=caller,
            watcher=watcher,
        )

    async def get(self, viewer: Viewer, guid: str) -> Image:
        """Return an image, whatever its status; raise ImageNotFoundError if there is none that the viewer may see."""
        return await self._images.get_visible(parse_guid(guid), viewer)

    async def place_of(self, image: Image) -> QueuePlace | None:
        """Return the place in the queue of an image, None if it does not wait or the database is away."""
        return await self._runner.place_of(image)

    def place_here(self, guid: str) -> QueuePlace | None:
        """Return the place in the queue of an image that waits in this process, None of another."""
        return self._runner.place_here(guid)

    async def search(self, viewer: Viewer, data: object, size_of: Callable[[Image], int] = lambda _: 0) -> ImagePage:
        """Return the images that match all filters and that the viewer may see, newest first.

        `size_of` is called with each and returns its bytes. A page ends before the image that would make it too large,
        but not before the first.
        """
        return await self._search.page(viewer, data, size_of)

    async def beside(self, viewer: Viewer, image: Image, data: object) -> tuple[Image | None, Image | None]:
        """Return the images next to one in the list that `search` returns: the newer and the older, None at an end."""
        return await self._search.beside(viewer, data, image)

    async def open_content(self, viewer: Viewer, guid: str, *, by_link: bool = False) -> ImageContent:
        """Return the content of an image; with `by_link` the viewer has a signed URL, which replaces the access check.

        The URL of an image that is hidden opens nothing: its author has it too. The errors are those of `get` and
        `ImageContent.of`.
        """
        if not by_link:
            return self.content_of(await self.get(viewer, guid))
        image = await self._images.get(parse_guid(guid))
        access.require_linkable(image)
        return self.content_of(image)

    def content_of(self, image: Image) -> ImageContent:
        """Return the content of an image; raise ImageNotReadyError if it has none."""
        return ImageContent.of(image, self._blobs, self._checksums)

    async def update(self, viewer: Viewer, guid: str, data: object) -> Image:
        """Change tags, visibility or file name, as the author, or hide the image and show it again, as its staff.

        Raises:
            PermissionDeniedError: for one of the fields the viewer is not the one who may change it.
            ImageNotReadyError: during the generation.
        """
        access.require_login(viewer)
        command = validate(UpdateImage, data)
        image = await self.get(viewer, guid)
        if command.hidden is not None:
            access.require_hider(image, viewer, await self._author_of(image))
        given = (command.filename, command.tags, command.visibility)
        if command.hidden is None or any(field is not None for field in given):
            access.require_author(image, viewer)
        if image.status in UNDER_WAY:
            # Its sidecar is being written without the change.
            raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=2)
        changes = ImageChanges(
            filename=command.filename,
            tags=None if command.tags is None else tuple(command.tags),
            visibility=command.visibility,
            hidden=command.hidden,
        )
        if changes == ImageChanges():
            return image
        was_hidden = image.request.hidden
        image = await self._images.update(image.guid, changes, self._clock.now())
        if image.request.hidden != was_hidden:
            done = "hid" if image.request.hidden else "showed again"
            author = image.request.author
            owner = ", which has no author" if author is None else f" of {author}"
            logger.info("%s %s the image %s%s", username_of(viewer), done, image.guid, owner)
        if image.status is Status.READY:
            await update_sidecar(image, self._images, self._blobs)
        return image

    async def can_hide(self, viewer: Viewer, image: Image) -> bool:
        """Return whether the viewer may hide an image, and show it again."""
        return isinstance(viewer, access.Staff) and access.can_hide(image, viewer, await self._author_of(image))

    async def _author_of(self, image: Image) -> User | None:
        """Return the author of an image, None for one who is not on the roster."""
        try:
            return None if image.request.author is None else await self._users.get(image.request.author)
        except UserNotFoundError:
            return None

    async def delete(self, viewer: Viewer, guid: str, data: object = None) -> None:
        """Delete an image, as its author: the row first, then the bytes; a `queued` one with all of its call.

        One without an author is an administrator's to delete. `data` may have a condition (DeleteImage): with `status`
        `queued` an image that does not wait for its turn any more is left as it is, and ImageNotQueuedError raised.
        """
        access.require_login(viewer)
        command = validate(DeleteImage, data or {})
        image = await self.get(viewer, guid)
        access.require_owner(image, viewer)
        delete = self._images.delete if command.status is None else self._images.cancel
        deleted = await delete(image.guid)
        self._runner.cancel(deleted)
        if not access.is_author(image, viewer):
            logger.info("%s deleted the image %s, which has no author", username_of(viewer), image.guid)
        try:
            await self._blobs.delete(image.guid)
            await self._thumbnails.delete(image.guid)
        except BlobStoreError as error:
            # For callers the image is gone; the sweep finds the file without a row.
            logger.warning("bytes of deleted image %s remain in the blob store: %s", image.guid, error.message)


def _submission(viewer: Viewer, command: CreateImage | GenerateImages, sources: EditSources, n: int = 1) -> Submission:
    return Submission(
        viewer=username_of(viewer),
        prompt=command.prompt,
        model=command.model,
        options=command.options,
        n=n,
        tags=command.tags,
        visibility=command.visibility,
        filename=command.filename,
        sources=sources,
    )
