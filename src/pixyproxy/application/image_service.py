"""The use cases around images: create, get, search, open content, update, delete."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from pixyproxy.application.commands import CreateImage, SearchImages, UpdateImage, validate
from pixyproxy.application.content import ImageContent
from pixyproxy.application.generation import Generations
from pixyproxy.application.idempotency import ClaimLocks, claim_of
from pixyproxy.application.sidecar import sidecar_of_ready
from pixyproxy.domain import access
from pixyproxy.domain.errors import (
    BlobStoreError,
    DataValidationError,
    FieldError,
    IdempotencyKeyReusedError,
    IdempotencyKeyTakenError,
    ImageNotFoundError,
    ImageNotReadyError,
    error_of,
)
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.image import (
    GenerationRequest,
    IdempotencyClaim,
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
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository

logger = logging.getLogger(__name__)

_STORING_S = 60.0
"""How much longer than the upstream's deadline a process may take to store what it got, in seconds."""
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 1.0
_CLAIM_TRIES = 3
"""How often a key is tried for that others claim and give back because their generation failed."""
_OPTIONS = ("size", "quality", "background", "output_format")


@dataclass(frozen=True, slots=True)
class Created:
    """The image that a request to create got; `replayed` if an earlier request with the same key made it."""

    image: Image
    replayed: bool


class ImageService:
    """What can be done with images.

    `viewer` is the username on whose behalf something is done, None for an anonymous caller. Input may be
    a command or any mapping; either is validated here, and DataValidationError says what is wrong with it.
    Every method raises DBConnectionError while the database is away.
    """

    def __init__(self, images: ImageRepository, blobs: BlobStore, generations: Generations, clock: Clock) -> None:
        self._images = images
        self._blobs = blobs
        self._generations = generations
        self._clock = clock
        self._claims = ClaimLocks()

    async def create(
        self, viewer: str | None, data: object, *, idempotency_key: str | None = None, wait: bool = True
    ) -> Created:
        """Have a picture made, stored and recorded, and return it; with `wait` False, return once it is begun.

        Once the row exists the generation goes on to its end even if this call is cancelled. Raises a
        GeneratorError if no picture was made, CapacityExceededError or BlobStoreError before anything is
        paid, and BlobStoreError or DBConnectionError (with the guid) if the picture could not be put in
        its place or recorded.

        A repeat with the same key and the same request joins the first while it runs and gets its outcome
        afterwards, an error too; with another request it raises IdempotencyKeyReusedError.
        """
        command = validate(CreateImage, data)
        if viewer is None and command.visibility is Visibility.PRIVATE:
            message = "must be public for an anonymous caller: log in to make a private image"
            raise DataValidationError(f"visibility {message}", [FieldError(("visibility",), message)])
        claim = claim_of(viewer, idempotency_key, command)
        options = {name: value for name in _OPTIONS if (value := getattr(command, name)) is not None}
        request = GenerationRequest(prompt=command.prompt, model=command.model, options=options)
        for _ in range(_CLAIM_TRIES):
            async with self._claims.hold(claim):
                claimed = claim and await self._images.find_claimed(claim.caller, claim.key)
                if not claimed:
                    draft = self._draft(viewer, command, options, claim)
                    try:
                        running = await self._generations.start(
                            draft, request, keep_filename=command.filename is not None
                        )
                    except IdempotencyKeyTakenError:
                        continue
            if claim and claimed:
                return await self._repeat(*claimed, claim, wait)
            return Created(await running.result() if wait else running.image, replayed=False)
        raise IdempotencyKeyTakenError("Other requests with this key keep failing: try again later.")

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
        """Change tags, visibility or file name; only the author may (see `access.ensure_may_change`).

        Raises ImageNotReadyError while the image is being made.
        """
        access.ensure_logged_in(viewer)
        command = validate(UpdateImage, data)
        image = await self._images.get(parse_guid(guid))
        access.ensure_may_change(image, viewer)
        if image.status is Status.GENERATING:
            # Its sidecar is being written: it would not know of the change.
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
                await self._blobs.replace_sidecar(image.guid, sidecar_of_ready(image))
            except BlobStoreError as error:
                # The row is what counts; only a database rebuilt from the sidecars would not know of the change.
                logger.error("the sidecar of image %s could not be brought up to date: %s", image.guid, error.message)
        return image

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

    async def _repeat(self, image: Image, fingerprint: str, claim: IdempotencyClaim, wait: bool) -> Created:
        """What a request gets whose key is held by an image."""
        if fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError(
                "This Idempotency-Key was used for another request: use a new key for a new picture."
            )
        if image.status is Status.GENERATING and wait:
            image = await self._settled(image)
        if image.error is not None:
            error = error_of(image.error.code, image.error.message, image.guid)
            error.replayed = True
            raise error
        return Created(image, replayed=True)

    async def _settled(self, image: Image) -> Image:
        """Wait for a generation that somebody else began, here or in another process."""
        deadline = asyncio.get_running_loop().time() + self._generations.timeout_s + _STORING_S
        if (task := self._generations.task_of(image.guid)) is not None:
            await asyncio.wait([task])
            image = await self._images.get(image.guid)
        delay_s = _FIRST_POLL_S
        while image.status is Status.GENERATING:
            if asyncio.get_running_loop().time() > deadline:
                raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=5)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 1.5, _LONGEST_POLL_S)
            image = await self._images.get(image.guid)
        return image

    def _draft(
        self, viewer: str | None, command: CreateImage, options: dict[str, Any], claim: IdempotencyClaim | None
    ) -> ImageDraft:
        guid = new_guid()
        lease_owner, lease_expires_at = self._generations.lease()
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
            created_at=self._clock.now(),
            lease_owner=lease_owner,
            lease_expires_at=lease_expires_at,
            claim=claim,
        )
