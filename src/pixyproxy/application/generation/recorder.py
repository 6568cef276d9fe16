"""The last step of a generation: store a picture and record the outcome, bytes first and the row after them."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pixyproxy.application.fields import MAX_PROMPT_LENGTH
from pixyproxy.application.generation.exhaustion import ExhaustionRetries
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
from pixyproxy.domain.generation import GeneratedImage, ImageDraft, Lease, QueuedCall
from pixyproxy.domain.image import Failure, Image, ImageResult, Status
from pixyproxy.domain.money.costs import Cost
from pixyproxy.domain.money.prices import PricedRequest
from pixyproxy.domain.usage import CallUsage
from pixyproxy.ports.blob_store import BlobStore
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.money.price_list import PriceList
from pixyproxy.ports.observation.metrics import Metrics
from pixyproxy.ports.pictures.picture_inspector import PictureInspector

logger = logging.getLogger(__name__)

_MAX_MODEL_CHARS = 255
_MAX_USAGE_CHARS = 16 * 1024
"""Limits on what a generator reports: lists show it, and a row that is too large cannot be written."""


class OutcomeRecorder:
    """Stores pictures and records outcomes; while the database is away, outcomes wait as pending writes.

    `pending_writes` holds, by GUID, the calls that will write them.
    """

    def __init__(
        self,
        images: ImageRepository,
        blobs: BlobStore,
        inspector: PictureInspector,
        prices: PriceList,
        clock: Clock,
        metrics: Metrics,
        *,
        on_ready: Callable[[Image], object] = lambda image: None,
    ) -> None:
        """`on_ready` is called with each image that becomes ready; it must not block, and its errors are logged."""
        self._images = images
        self._blobs = blobs
        self._inspector = inspector
        self._prices = prices
        self._clock = clock
        self._metrics = metrics
        self._on_ready = on_ready
        self._retries = ExhaustionRetries()
        self.pending_writes: dict[str, Callable[[], Awaitable[object]]] = {}

    async def begin(self, drafts: Sequence[ImageDraft]) -> tuple[Image, ...]:
        """Record images whose generation begins, if their pictures could be stored now.

        Raises:
            BlobStoreError: if nothing could be stored; nothing is recorded then.
            DBConnectionError: if the database is away.
            IdempotencyKeyTakenError: if another image holds the key.
        """
        await self._blobs.check_writable()
        try:
            return await self._images.add_batch(drafts)
        except DBConnectionError as error:
            # The rows may have been committed all the same. Only this process knows that nothing was paid for them.
            failure = Failure(error.code, "The database was lost before the generation began; nothing was paid.")
            for draft in drafts:
                self.pending_writes[draft.guid] = partial(
                    self._write_failure, draft.guid, Status.FAILED, failure, free_key=True
                )
            raise

    async def start(self, guids: Sequence[str], lease: Lease) -> tuple[Image, ...]:
        """Claim images whose turn has come, if their pictures could be stored now; none if they are not queued.

        The errors are those of `begin`, without the last.
        """
        await self._blobs.check_writable()
        return await self._images.start(guids, lease, self._clock.now())

    async def requeue(self, guids: Sequence[str], owner: str, call: QueuedCall) -> tuple[Image, ...]:
        """Queue images again whose call was refused unpaid; raises DBConnectionError."""
        return await self._images.requeue(guids, owner, call, self._clock.now())

    async def record_unpaid(self, images: Sequence[Image], error: PixyProxyException) -> None:
        """Record that nothing was sent to the generator for these images, and why; give the error the GUID."""
        for image in images:
            await self._mark_failed(image, Status.FAILED, error, free_key=True)
        error.guid = images[0].guid

    async def write_pending(self) -> None:
        """Write the outcomes that could not be written before; raise DBConnectionError while the database is away."""
        for guid, write in list(self.pending_writes.items()):
            try:
                await write()
            except (ImageNotFoundError, ConstraintViolationError) as error:
                logger.warning("dropped pending outcome of image %s: %s", guid, error.message)
            else:
                logger.info("recorded delayed outcome of image %s", guid)
            self.pending_writes.pop(guid, None)

    async def record(self, image: Image, picture: GeneratedImage, call: PricedRequest) -> Image:
        """Store and record the picture that a call made for an image; return the image, which is ready.

        Raises:
            GeneratorResponseError: if it is no picture; its bytes are rescued and the row says so.
            BlobStoreError, DBConnectionError: if it could not be stored or recorded yet.
            GenerationInterruptedError: after a bug; the bytes are rescued.
        """
        try:
            return await self._record(image, picture, call)
        except PixyProxyException as error:
            logger.error("image %s of a generation is not ready: %s", image.guid, type(error).__name__)
            _mark_paid(error, image.guid)
            raise
        except Exception:
            # A bug that affects one picture must not lose the others.
            logger.exception("recording image %s failed unexpectedly", image.guid)
            raise await self._record_fault(image, picture) from None

    async def adopt(self, image: Image, picture: GeneratedImage) -> bool:
        """Store and record a picture that was rescued earlier; return False if its image was deleted meanwhile.

        Raises GeneratorResponseError if it is no picture, BlobStoreError or DBConnectionError; nothing is lost then.
        """
        request = image.request
        call = PricedRequest(request.model, request.prompt, request.parameters)
        result = await self._result(image, picture, call)
        await self._blobs.put(image.guid, picture.data, sidecar_of(image.finished(result, self._clock.now())))
        try:
            await self._mark_ready(image, result)
        except ConstraintViolationError:
            return False
        return True

    async def is_picture(self, picture: GeneratedImage) -> bool:
        """Return whether the bytes are a picture."""
        try:
            await self._inspector.inspect(picture.data)
        except DataValidationError:
            return False
        return True

    async def record_failure(self, image: Image, error: GeneratorError) -> None:
        """Record why there is no picture of an image, rescue what arrived instead, and give the error the GUID."""
        await self.rescue(image, error)
        await self._mark_not_made(image, error)
        error.guid = image.guid

    async def rescue(self, image: Image, error: GeneratorError) -> None:
        """Keep bytes that were paid for and cannot be stored as the picture of an image: the error's `raw`."""
        if error.raw:
            request = image.request
            described = {"guid": request.guid, "prompt": request.prompt, "author": request.author}
            await self._keep(request.guid, error.raw, {**described, "error": error.message})

    async def _record(self, image: Image, picture: GeneratedImage, call: PricedRequest) -> Image:
        try:
            result = await self._retries.run(partial(self._result, image, picture, call))
        except GeneratorError as error:
            await self.record_failure(image, error)
            raise
        await self._store(image, picture, result)
        self._metrics.picture_ended(image.finished(result, self._clock.now()))
        ready = await self._mark_ready(image, result)
        try:
            self._on_ready(ready)
        except Exception:
            logger.exception("image %s is ready, but a follow-up failed unexpectedly", ready.guid)
        return ready

    async def _result(self, image: Image, picture: GeneratedImage, call: PricedRequest) -> ImageResult:
        try:
            properties = await self._inspector.inspect(picture.data)
        except DataValidationError as error:
            raise GeneratorResponseError(
                f"The generator's response is not a picture: {error.message}", raw=picture.data
            ) from error
        return ImageResult(
            picture=properties,
            size_bytes=len(picture.data),
            sha256=await sha256_of(picture.data),
            model=picture.model if 0 < len(picture.model or "") <= _MAX_MODEL_CHARS else image.request.model,
            revised_prompt=picture.revised_prompt and picture.revised_prompt[:MAX_PROMPT_LENGTH],
            usage=picture.usage if len(json.dumps(picture.usage)) <= _MAX_USAGE_CHARS else None,
            reported=picture.reported,
            cost=await self._cost(image, picture, call),
        )

    async def _cost(self, image: Image, picture: GeneratedImage, call: PricedRequest) -> Cost | None:
        """Return the share of this picture in the cost of its call, None after a bug: no picture is lost over it."""
        usage = picture.call_usage or CallUsage(picture.usage or {})
        made = replace(call, n=usage.parts)
        try:
            cost = await self._prices.cost_of(made, image.request.created_at, usage.usage or None, picture.reported)
            return cost.split(usage.parts)[usage.part]
        except Exception:
            logger.exception("the cost of image %s cannot be computed: it is taken as what was reserved", image.guid)
            return None

    async def _store(self, image: Image, picture: GeneratedImage, result: ImageResult) -> None:
        sidecar = sidecar_of(image.finished(result, self._clock.now()))
        try:
            await self._retries.run(partial(self._blobs.put, image.guid, picture.data, sidecar))
        except BlobStoreError as error:
            logger.error("the picture of image %s was paid for and cannot be stored: %s", image.guid, error.message)
            await self._keep(image.guid, picture.data, sidecar)
            await self._mark_failed(image, Status.UNKNOWN, error, free_key=False)
            raise

    async def _mark_ready(self, image: Image, result: ImageResult) -> Image:
        guid = image.guid
        try:
            return await self._images.mark_ready(guid, result, self._clock.now())
        except DBConnectionError as error:
            logger.error("image %s is stored but not recorded yet: %s", guid, error.message)
            self.pending_writes[guid] = lambda: self._images.mark_ready(guid, result, self._clock.now())
            raise
        except ImageNotFoundError:
            logger.error("image %s was deleted during its generation; its bytes are in the store", guid)
            raise ConstraintViolationError("The image was deleted while it was being made.") from None

    async def _record_fault(self, image: Image, picture: GeneratedImage) -> PixyProxyException:
        """Rescue a picture that could not be recorded because of a bug; return the error for the caller.

        If the row was `ready` before the fault, the image stays ready.
        """
        await self.rescue(image, GeneratorResponseError("The picture could not be finished.", raw=picture.data))
        lost = GenerationInterruptedError("The picture was made and could not be stored: see the log of the server.")
        error: PixyProxyException = lost
        try:
            await self._mark_not_made(image, lost)
        except ConstraintViolationError:
            logger.error("image %s stays ready: the fault came after it was recorded", image.guid)
            error = PixyProxyException(
                "The image is ready, but it could not be returned here because of a fault: get it by its GUID."
            )
        _mark_paid(error, image.guid)
        return error

    async def _keep(self, guid: str, data: bytes, sidecar: dict[str, Any]) -> None:
        try:
            place = await self._retries.run(partial(self._blobs.rescue, guid, data, sidecar))
            logger.error("rescued %d bytes for image %s: %s", len(data), guid, place)
        except BlobStoreError as error:
            logger.critical("lost %d bytes for image %s, no place takes them: %s", len(data), guid, error.message)

    async def _mark_not_made(self, image: Image, error: GeneratorError) -> None:
        """Record that the generator made no picture; raises ConstraintViolationError if the image is ready."""
        status = Status.UNKNOWN if error.may_have_been_paid else Status.FAILED
        # A key is given back if nothing was paid and a repeat may succeed.
        free_key = not (error.may_have_been_paid or error.is_final)
        await self._mark_failed(image, status, error, free_key=free_key)

    async def _mark_failed(self, image: Image, status: Status, error: PixyProxyException, *, free_key: bool) -> None:
        guid, failure = image.guid, Failure(error.code, error.message)
        self._metrics.picture_ended(image.failed(status, failure, self._clock.now()))
        write = partial(self._write_failure, guid, status, failure, free_key=free_key)
        # The caller must learn why there is no picture, not that this could not be recorded.
        try:
            await write()
        except DBConnectionError as lost:
            logger.error("image %s is %s (%s) but not recorded so yet: %s", guid, status, error.code, lost.message)
            self.pending_writes[guid] = write
        except ImageNotFoundError:
            logger.info("image %s was deleted during its generation", guid)

    async def _write_failure(self, guid: str, status: Status, failure: Failure, *, free_key: bool) -> None:
        await self._images.mark_failed(guid, status, failure, self._clock.now(), free_key=free_key)


def _mark_paid(error: PixyProxyException, guid: str) -> None:
    """Mark an error as concerning an image that was paid for."""
    error.guid = guid
    error.may_have_been_paid = True
