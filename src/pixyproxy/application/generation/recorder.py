"""What becomes of a picture once it is made: durable bytes, then the row; and of one that is not made: the reason."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from pixyproxy.application.generation.sidecar import sidecar_of
from pixyproxy.application.hashing import sha256_of
from pixyproxy.domain.errors import (
    BlobStoreError,
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    GenerationInterruptedError,
    GeneratorError,
    GeneratorResponseError,
    ImageNotFoundError,
    PixyProxyException,
)
from pixyproxy.domain.generation import GeneratedImage, ImageDraft
from pixyproxy.domain.image import Failure, Image, ImageResult, Status
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.picture_inspector import PictureInspector

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that is ready, and its bytes, which whoever waits for them need not read again."""

    image: Image
    data: bytes = field(repr=False)


class OutcomeRecorder:
    """Stores and records what generations come to; what cannot be recorded while the database is away is kept in mind.

    `unrecorded` holds, by GUID, what is still to be recorded.
    """

    def __init__(
        self,
        images: ImageRepository,
        blobs: BlobStore,
        inspector: PictureInspector,
        clock: Clock,
        *,
        on_ready: Callable[[Image], object] = lambda image: None,
    ) -> None:
        """`on_ready` is told of each image that is ready; it must not wait, and where it fails that costs nothing."""
        self._images = images
        self._blobs = blobs
        self._inspector = inspector
        self._clock = clock
        self._on_ready = on_ready
        self.unrecorded: dict[str, Callable[[], Awaitable[object]]] = {}

    async def admit(self) -> None:
        """Return if a picture could be stored now; raises BlobStoreError."""
        await self._blobs.check_writable()

    async def begin(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        """Record what begins; raises DBConnectionError or IdempotencyKeyTakenError."""
        try:
            return await self._images.add_batch(drafts)
        except DBConnectionError as error:
            # The rows may be there all the same. Nothing was paid for them, which nobody else can know.
            failure = Failure(error.code, "The database was lost before the generation began; nothing was paid.")
            for draft in drafts:
                self.unrecorded[draft.guid] = partial(self._record_unpaid, draft.guid, failure)
            raise

    async def _record_unpaid(self, guid: str, failure: Failure) -> None:
        await self._images.mark_failed(guid, Status.FAILED, failure, self._clock.now(), free_key=True)

    async def catch_up(self) -> None:
        """Record what could not be recorded before; raises DBConnectionError while the database is away."""
        for guid, record in list(self.unrecorded.items()):
            try:
                await record()
            except (ImageNotFoundError, ConstraintViolationError) as error:
                logger.warning("image %s needs no record any more: %s", guid, error.message)
            else:
                logger.info("what became of image %s is recorded now", guid)
            self.unrecorded.pop(guid, None)

    async def finish(self, draft: ImageDraft, image: Image, made: GeneratedImage | None) -> Ready:
        """Take a picture to its end, or record that there is none.

        Raises GeneratorError, BlobStoreError or DBConnectionError, with the guid.
        """
        try:
            if made is None:
                raise GeneratorResponseError("The generator made fewer pictures than were asked for.")
            result = await self._result(draft, made)
        except GeneratorError as error:
            if isinstance(error, GeneratorResponseError):
                await self.keep_answer(draft, error)
            await self.fail(draft, error)
            error.guid = draft.guid
            raise
        await self._store(image, made, result)
        ready = await self._ready(image, result)
        try:
            self._on_ready(ready)
        except Exception:
            # Whoever is told has no say in whether the image is ready.
            logger.exception("image %s is ready, and who is told of that failed", ready.guid)
        return Ready(ready, made.data)

    async def give_up(self, draft: ImageDraft, made: GeneratedImage | None) -> PixyProxyException:
        """Keep aside what a fault of our own kept from being stored; the error that says so.

        The fault may have come after the row said `ready`: then the image stays ready, and the error says that.
        """
        fault = GeneratorResponseError("The picture could not be finished.", raw=None if made is None else made.data)
        await self.keep_answer(draft, fault)
        lost = GenerationInterruptedError("The picture was made and could not be stored: see the log of the server.")
        error: PixyProxyException = lost
        try:
            await self.fail(draft, lost)
        except ConstraintViolationError:
            logger.error("image %s is ready and stays so: the fault came after that", draft.guid)
            error = PixyProxyException("The image is ready, but a fault kept it from this answer: get it by its GUID.")
        _mark_paid(error, draft.guid)
        return error

    async def fail(self, draft: ImageDraft, error: GeneratorError) -> None:
        """Record that and why the generator made no picture; raises ConstraintViolationError if the image is ready."""
        status = Status.UNKNOWN if error.may_have_been_paid else Status.FAILED
        # A key is given back where nothing was paid and a repeat may fare better.
        free_key = not (error.may_have_been_paid or error.is_final)
        await self._mark_failed(draft.guid, status, error, free_key=free_key)

    async def keep_answer(self, draft: ImageDraft, error: GeneratorResponseError) -> None:
        """Keep what was paid for and cannot be stored as the picture of the draft."""
        if error.raw:
            await self._keep_aside(
                draft.guid,
                error.raw,
                {
                    "guid": draft.guid,
                    "prompt": draft.request.prompt,
                    "author": draft.request.author,
                    "error": error.message,
                },
            )

    async def keep_surplus(self, draft: ImageDraft, made: GeneratedImage) -> None:
        """Keep a picture that nobody asked for beside that of the draft."""
        too_many = GeneratorResponseError("The generator made more pictures than were asked for.", raw=made.data)
        await self.keep_answer(draft, too_many)

    async def _result(self, draft: ImageDraft, made: GeneratedImage) -> ImageResult:
        try:
            picture = await self._inspector.inspect(made.data)
        except DataValidationError as error:
            raise GeneratorResponseError(
                f"The generator's answer is no picture: {error.message}", raw=made.data
            ) from error
        return ImageResult(
            picture=picture,
            size_bytes=len(made.data),
            sha256=await sha256_of(made.data),
            model=made.model or draft.request.model,
            revised_prompt=made.revised_prompt,
            usage=made.usage,
            reported=made.reported,
        )

    async def _store(self, image: Image, made: GeneratedImage, result: ImageResult) -> None:
        sidecar = sidecar_of(image.finished(result, self._clock.now()))
        try:
            await self._blobs.put(image.guid, made.data, sidecar)
        except BlobStoreError as error:
            logger.error("the picture of image %s was paid for and cannot be stored: %s", image.guid, error.message)
            await self._keep_aside(image.guid, made.data, sidecar)
            await self._mark_failed(image.guid, Status.FAILED, error, free_key=False)
            _mark_paid(error, image.guid)
            raise

    async def _ready(self, image: Image, result: ImageResult) -> Image:
        guid = image.guid
        try:
            return await self._images.mark_ready(guid, result, self._clock.now(), begun=image)
        except DBConnectionError as error:
            logger.error("image %s is stored but could not be recorded: %s", guid, error.message)
            self.unrecorded[guid] = lambda: self._images.mark_ready(guid, result, self._clock.now())
            _mark_paid(error, guid)
            raise
        except ImageNotFoundError:
            logger.error("image %s was deleted while it was being made; its bytes are in the store", guid)
            deleted = ConstraintViolationError("The image was deleted while it was being made.")
            _mark_paid(deleted, guid)
            raise deleted from None

    async def _keep_aside(self, guid: str, data: bytes, sidecar: dict[str, object]) -> None:
        try:
            place = await self._blobs.rescue(guid, data, sidecar)
            logger.error("%d bytes for image %s are kept aside: %s", len(data), guid, place)
        except BlobStoreError as error:
            logger.critical("%d bytes for image %s could be kept nowhere: %s", len(data), guid, error.message)

    async def _mark_failed(self, guid: str, status: Status, error: PixyProxyException, *, free_key: bool) -> None:
        failure = Failure(error.code, error.message)

        async def record() -> None:
            await self._images.mark_failed(guid, status, failure, self._clock.now(), free_key=free_key)

        # The caller must hear why there is no picture, not that this could not be written down.
        try:
            await record()
        except DBConnectionError as lost:
            logger.error("image %s is %s (%s) but that is not recorded yet: %s", guid, status, error.code, lost.message)
            self.unrecorded[guid] = record
        except ImageNotFoundError:
            logger.info("image %s was deleted while it was being made", guid)


def _mark_paid(error: PixyProxyException, guid: str) -> None:
    """Say of an error that the picture it concerns was paid for."""
    error.guid = guid
    error.may_have_been_paid = True
