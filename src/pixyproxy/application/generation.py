"""The life of a generation: row, one upstream call, durable bytes, row, in a task that a hang-up does not stop."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

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
from pixyproxy.ports.recovery_repository import RecoveryRepository

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A generation whose row is committed: the row as it began, and the task that takes it to its end."""

    image: Image
    task: asyncio.Task[Image]

    async def result(self) -> Image:
        """The ready image; cancelling this call leaves the generation running."""
        return await asyncio.shield(self.task)


class Generations:
    """Runs generations, a bounded number at a time, each exactly once."""

    def __init__(
        self,
        images: ImageRepository,
        recovery: RecoveryRepository,
        blobs: BlobStore,
        generator: ImageGenerator,
        inspector: PictureInspector,
        clock: Clock,
        *,
        owner: str,
        max_in_flight: int,
        timeout_s: float,
        lease_s: float,
    ) -> None:
        """`timeout_s` is the total deadline of one upstream call, in seconds.

        `owner` names this process in the leases of its rows, which run `lease_s` seconds unless renewed by
        `keep_up`. `draining` turns true when no more generations are begun.
        """
        self._images = images
        self._recovery = recovery
        self._blobs = blobs
        self._generator = generator
        self._inspector = inspector
        self._clock = clock
        self._owner = owner
        self._max_in_flight = max_in_flight
        self._lease = timedelta(seconds=lease_s)
        self._running: dict[str, asyncio.Task[Image]] = {}
        self._unrecorded: dict[str, Callable[[], Awaitable[object]]] = {}
        self._drain_deadline = 0.0
        self.draining = False
        self.timeout_s = timeout_s

    @property
    def generator_name(self) -> str:
        """The name that is recorded with what is generated here."""
        return self._generator.name

    @property
    def in_flight(self) -> int:
        """How many generations are running here."""
        return len(self._running)

    @property
    def unrecorded(self) -> int:
        """How many generations have ended while the database was away, so that their rows do not know it yet."""
        return len(self._unrecorded)

    def task_of(self, guid: str) -> asyncio.Task[Image] | None:
        """The task of a generation that is running here, or None."""
        return self._running.get(guid)

    def lease(self) -> tuple[str, datetime]:
        """The owner of a lease that begins now, and its end."""
        return self._owner, self._clock.now() + self._lease

    async def start(self, draft: ImageDraft, request: GenerationRequest, *, keep_filename: bool) -> Running:
        """Begin the life of a draft and return once its row is committed; it goes on in a task of its own.

        Cancelling this call leaves the generation running. With `keep_filename` the draft's file name
        stays; otherwise its extension follows the bytes. Raises what `ImageService.create` says is raised
        before anything is paid, and IdempotencyKeyTakenError.
        """
        if self.draining:
            raise CapacityExceededError("The server is shutting down: try again in a moment.")
        if len(self._running) >= self._max_in_flight:
            raise CapacityExceededError(
                f"All {self._max_in_flight} places for generations are taken; nothing was begun: try again later."
            )
        recorded: asyncio.Future[Image] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(draft, request, keep_filename, recorded))
        self._running[draft.guid] = task
        task.add_done_callback(partial(self._done, draft.guid))
        await asyncio.wait([task, recorded], return_when=asyncio.FIRST_COMPLETED)
        return Running(recorded.result() if recorded.done() else await asyncio.shield(task), task)

    async def keep_up(self) -> None:
        """Renew the leases of what is running here, and record what could not be recorded before.

        Called every fraction of a lease. Raises DBConnectionError while the database is away.
        """
        if self._running or self._unrecorded:
            await self._recovery.renew_leases(*self.lease())
        for guid, record in list(self._unrecorded.items()):
            try:
                await record()
            except (ImageNotFoundError, ConstraintViolationError) as error:
                logger.warning("image %s needs no record any more: %s", guid, error.message)
            else:
                logger.info("what became of image %s is recorded now", guid)
            self._unrecorded.pop(guid, None)

    def begin_drain(self, timeout_s: float) -> None:
        """Begin no more generations; those in flight have `timeout_s` seconds from the first call on."""
        if not self.draining:
            self.draining = True
            self._drain_deadline = asyncio.get_running_loop().time() + timeout_s

    async def drain(self, timeout_s: float) -> int:
        """Wait for the generations in flight until the deadline of `begin_drain`; return how many are left."""
        self.begin_drain(timeout_s)
        left_s = max(0.0, self._drain_deadline - asyncio.get_running_loop().time())
        if self._running:
            logger.info("waiting up to %.0f s for %d generations in flight", left_s, len(self._running))
            await asyncio.wait(self._running.values(), timeout=left_s)
        if self._running:
            logger.error("%d generations are still in flight at the end of the time to drain", len(self._running))
        return len(self._running)

    def _done(self, guid: str, task: asyncio.Task[Image]) -> None:
        self._running.pop(guid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The caller may have hung up, and then nobody else would ever see this. Not the message: a
            # generator's own words may repeat the prompt.
            expected = isinstance(error, PixyProxyException)
            level = logging.INFO if expected else logging.ERROR
            logger.log(level, "generation ended with %s", type(error).__name__, exc_info=None if expected else error)

    async def _live(
        self, draft: ImageDraft, request: GenerationRequest, keep_filename: bool, recorded: asyncio.Future[Image]
    ) -> Image:
        await self._blobs.check_writable()
        image = await self._begin(draft)
        recorded.set_result(image)
        try:
            made = await self._call(request)
            result = await self._result(draft, made, keep_filename)
        except GeneratorError as error:
            await self._record_failure(draft, error)
            error.guid = draft.guid
            raise
        await self._store(image, made, result)
        return await self._ready(draft.guid, result)

    async def _begin(self, draft: ImageDraft) -> Image:
        try:
            return await self._images.add(draft)
        except DBConnectionError as error:
            # The row may be there all the same. Nothing was paid for it, which nobody else can know.
            failure = Failure(error.code, "The database was lost before the generation began; nothing was paid.")
            self._unrecorded[draft.guid] = lambda: self._images.mark_failed(
                draft.guid, Status.FAILED, failure, self._clock.now(), free_key=True
            )
            raise

    async def _ready(self, guid: str, result: ImageResult) -> Image:
        try:
            return await self._images.mark_ready(guid, result, self._clock.now())
        except DBConnectionError as error:
            logger.error("image %s is stored but could not be recorded: %s", guid, error.message)
            self._unrecorded[guid] = lambda: self._images.mark_ready(guid, result, self._clock.now())
            error.guid = guid
            raise
        except ImageNotFoundError:
            logger.error("image %s was deleted while it was being made; its bytes are in the store", guid)
            raise ConstraintViolationError("The image was deleted while it was being made.", guid=guid) from None

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
            await self._mark_failed(image.guid, Status.FAILED, error, free_key=False)
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
        # A key is given back where nothing was paid and a repeat may fare better.
        free_key = not (error.may_have_been_paid or error.is_answer)
        await self._mark_failed(draft.guid, status, error, free_key=free_key)

    async def _keep_aside(self, guid: str, data: bytes, sidecar: dict[str, object]) -> None:
        try:
            place = await self._blobs.keep_aside(guid, data, sidecar)
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
            self._unrecorded[guid] = record
        except ImageNotFoundError:
            logger.info("image %s was deleted while it was being made", guid)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
