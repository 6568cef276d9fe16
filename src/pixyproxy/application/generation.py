"""The life of a generation: row, one upstream call, durable bytes, row, in a task that a hang-up does not stop."""

import asyncio
import hashlib
import logging

from pixyproxy.application.sidecar import sidecar_of
from pixyproxy.domain.errors import (
    BlobStoreError,
    CapacityExceededError,
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    GeneratorAnswerError,
    GeneratorConnectionLostError,
    GeneratorError,
    GeneratorTimeoutError,
    ImageNotFoundError,
    PixyProxyException,
)
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.image import (
    Failure,
    GeneratedImage,
    GenerationRequest,
    Image,
    ImageDraft,
    ImageResult,
    Status,
)
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.picture_inspector import PictureInspector

logger = logging.getLogger(__name__)


class Generations:
    """Runs generations, a bounded number at a time, each exactly once."""

    def __init__(
        self,
        images: ImageRepository,
        blobs: BlobStore,
        generator: ImageGenerator,
        inspector: PictureInspector,
        clock: Clock,
        *,
        max_in_flight: int,
        timeout_s: float,
    ) -> None:
        """`timeout_s` is the total deadline of one upstream call, in seconds.

        `draining` turns true when no more generations are begun.
        """
        self._images = images
        self._blobs = blobs
        self._generator = generator
        self._inspector = inspector
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._tasks: set[asyncio.Task[Image]] = set()
        self.draining = False
        self._drain_deadline = 0.0
        self.timeout_s = timeout_s

    @property
    def generator_name(self) -> str:
        """The name that is recorded with what is generated here."""
        return self._generator.name

    async def run(self, draft: ImageDraft, request: GenerationRequest, *, keep_filename: bool) -> Image:
        """Take a draft through its whole life and return the ready image.

        Cancelling this call leaves the generation running. With `keep_filename` the draft's file name
        stays; otherwise its extension follows the bytes. Errors are those of `ImageService.create`.
        """
        if self.draining:
            raise CapacityExceededError("The server is shutting down: try again in a moment.")
        if len(self._tasks) >= self._max_in_flight:
            raise CapacityExceededError(
                f"All {self._max_in_flight} places for generations are taken; nothing was begun: try again later."
            )
        task = asyncio.create_task(self._live(draft, request, keep_filename))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def begin_drain(self, timeout_s: float) -> None:
        """Begin no more generations; those in flight have `timeout_s` seconds from the first call on."""
        if not self.draining:
            self.draining = True
            self._drain_deadline = asyncio.get_running_loop().time() + timeout_s

    async def drain(self, timeout_s: float) -> int:
        """Wait for the generations in flight until the deadline of `begin_drain`; return how many are left."""
        self.begin_drain(timeout_s)
        left_s = max(0.0, self._drain_deadline - asyncio.get_running_loop().time())
        if self._tasks:
            logger.info("waiting up to %.0f s for %d generations in flight", left_s, len(self._tasks))
            await asyncio.wait(self._tasks, timeout=left_s)
        if self._tasks:
            logger.error("%d generations are still in flight at the end of the time to drain", len(self._tasks))
        return len(self._tasks)

    def _done(self, task: asyncio.Task[Image]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The caller may have hung up, and then nobody else would ever see this. Not the message: a
            # generator's own words may repeat the prompt.
            expected = isinstance(error, PixyProxyException)
            level = logging.INFO if expected else logging.ERROR
            logger.log(level, "generation ended with %s", type(error).__name__, exc_info=None if expected else error)

    async def _live(self, draft: ImageDraft, request: GenerationRequest, keep_filename: bool) -> Image:
        await self._blobs.check_writable()
        image = await self._images.add(draft)
        try:
            made = await self._call(request)
            result = await self._result(draft, made, keep_filename)
        except GeneratorError as error:
            await self._record_failure(draft, error)
            error.guid = draft.guid
            raise
        await self._store(image, made, result)
        try:
            return await self._images.mark_ready(draft.guid, result, self._clock.now())
        except DBConnectionError as error:
            logger.error("image %s is stored but could not be recorded: %s", draft.guid, error.message)
            error.guid = draft.guid
            raise
        except ImageNotFoundError:
            logger.error("image %s was deleted while it was being made; its bytes are in the store", draft.guid)
            raise ConstraintViolationError("The image was deleted while it was being made.", guid=draft.guid) from None

    async def _call(self, request: GenerationRequest) -> GeneratedImage:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._generator.generate(request)
        except GeneratorError:
            raise
        except TimeoutError:
            raise GeneratorTimeoutError(
                f"The generator did not answer within {self.timeout_s:g} s; the picture may have been paid for."
            ) from None
        except Exception as error:
            # A fault of the generator's own code says nothing about what its upstream did.
            logger.exception("the generator %s failed unexpectedly", self._generator.name)
            raise GeneratorConnectionLostError(
                "The generator failed unexpectedly; the picture may have been paid for."
            ) from error

    async def _result(self, draft: ImageDraft, made: GeneratedImage, keep_filename: bool) -> ImageResult:
        try:
            picture = await self._inspector.inspect(made.data)
        except DataValidationError as error:
            raise GeneratorAnswerError(
                f"The generator's answer is no picture: {error.message}", raw=made.data
            ) from error
        return ImageResult(
            filename=draft.filename if keep_filename else filename_for(draft.prompt, draft.guid, picture.media_type),
            picture=picture,
            size_bytes=len(made.data),
            sha256=await asyncio.to_thread(_sha256, made.data),
            model=made.model or draft.model,
            revised_prompt=made.revised_prompt,
            usage=made.usage,
        )

    async def _store(self, image: Image, made: GeneratedImage, result: ImageResult) -> None:
        sidecar = sidecar_of(image, result)
        try:
            await self._blobs.put(image.guid, made.data, sidecar)
        except BlobStoreError as error:
            logger.error("the picture of image %s was paid for and cannot be stored: %s", image.guid, error.message)
            await self._keep_aside(image.guid, made.data, sidecar)
            await self._mark_failed(image.guid, Status.FAILED, error)
            error.guid = image.guid
            raise

    async def _record_failure(self, draft: ImageDraft, error: GeneratorError) -> None:
        if isinstance(error, GeneratorAnswerError) and error.raw:
            await self._keep_aside(
                draft.guid,
                error.raw,
                {"guid": draft.guid, "prompt": draft.prompt, "author": draft.author, "error": error.message},
            )
        status = Status.UNKNOWN if error.may_have_been_paid else Status.FAILED
        await self._mark_failed(draft.guid, status, error)

    async def _keep_aside(self, guid: str, data: bytes, sidecar: dict[str, object]) -> None:
        try:
            place = await self._blobs.keep_aside(guid, data, sidecar)
            logger.error("%d bytes for image %s are kept aside: %s", len(data), guid, place)
        except BlobStoreError as error:
            logger.critical("%d bytes for image %s could be kept nowhere: %s", len(data), guid, error.message)

    async def _mark_failed(self, guid: str, status: Status, error: PixyProxyException) -> None:
        try:
            await self._images.mark_failed(guid, status, Failure(error.code, error.message), self._clock.now())
        except (DBConnectionError, ImageNotFoundError) as lost:
            # The caller must hear why there is no picture, not that this could not be written down.
            logger.error("image %s is %s (%s) but that is not recorded: %s", guid, status, error.code, lost.message)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
