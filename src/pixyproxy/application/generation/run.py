"""The middle step of a generation: its turn, and one upstream call."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import NoReturn

from pixyproxy.application.generation.collector import PictureCollector
from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.observation.measured_call import MeasuredCall
from pixyproxy.application.queue.stored_sources import StoredSources
from pixyproxy.application.queue.turn import Turn
from pixyproxy.application.queue.turns import Turns
from pixyproxy.domain.errors import (
    BlobStoreError,
    DBConnectionError,
    GeneratorConnectionLostError,
    GeneratorError,
    GeneratorRateLimitedError,
    GeneratorTimeoutError,
    ImageNotFoundError,
    PixyProxyException,
    ServiceStoppedError,
)
from pixyproxy.domain.generation import (
    GeneratedImage,
    GenerationOutcome,
    GenerationRequest,
    Lease,
    PartialImage,
    QueuedCall,
)
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.observation.metrics import Metrics
from pixyproxy.ports.observation.tracer import Tracer

logger = logging.getLogger(__name__)

_OUTAGE_S = 2.0
"""Seconds until the next turn of a model after one for which the database or the store was away."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """The callbacks of one who watches a generation. They run in the event loop, return at once and raise nothing.

    `on_images` receives the images as soon as they are recorded, and again when they leave the queue or go back to it.
    `on_partial` receives each early view. None: not wanted.
    """

    on_images: Callable[[GenerationOutcome], None] | None = None
    on_partial: Callable[[PartialImage], None] | None = None

    def show(self, images: GenerationOutcome) -> None:
        """Hand on the images as they are recorded now."""
        if self.on_images is not None:
            self.on_images(images)


class TakenOverError(Exception):
    """Raised in a generation whose rows another process has taken over: that one makes the pictures."""


@dataclass(slots=True)
class RunParts:
    """The parts that every run uses; `timeout_s` is the deadline of an upstream call, in seconds."""

    recorder: OutcomeRecorder
    maintenance: MaintenanceRepository
    generator: ImageGenerator
    turns: Turns
    sources: StoredSources
    metrics: Metrics
    tracer: Tracer
    clock: Clock
    new_lease: Callable[[], Lease]
    timeout_s: float


class Run:
    """One generation, from its turn to its outcome."""

    def __init__(
        self,
        parts: RunParts,
        turn: Turn,
        images: tuple[Image, ...],
        request: GenerationRequest | None,
        queued_call: QueuedCall | None,
        watcher: Watcher | None = None,
    ) -> None:
        """Take a turn and recorded images; a request of None is made from the queued call when the turn comes."""
        self._parts = parts
        self._request = request
        self._queued_call = queued_call
        self._watchers = [] if watcher is None else [watcher]
        self._may_have_started = False
        self.turn = turn
        self.images = images

    @property
    def guids(self) -> list[str]:
        """The GUIDs of the images."""
        return [image.guid for image in self.images]

    @property
    def _known_request(self) -> GenerationRequest:
        if self._request is None:
            raise RuntimeError("the request is made when the turn comes")
        return self._request

    def watch(self, watcher: Watcher) -> None:
        """Have one more watch; early views are made only if somebody wants them before the call."""
        self._watchers.append(watcher)

    async def finish(self) -> GenerationOutcome:
        """Wait for the turn, make the call, and return its outcome; raise the error if there is no picture."""
        loop, began = asyncio.get_running_loop(), None
        is_left_to_others = False
        try:
            while True:
                if self.images[0].status is Status.QUEUED and not await self._begin_queued():
                    continue
                began = loop.time()
                try:
                    return await self._generate()
                except GeneratorRateLimitedError as error:
                    await self._go_back(error)
                    began = None
        except (ServiceStoppedError, TakenOverError, asyncio.CancelledError):
            is_left_to_others = True
            raise
        finally:
            self._parts.turns.end(self.turn, None if began is None else loop.time() - began)
            if self._queued_call is not None and not is_left_to_others:
                await self._parts.sources.drop(self._queued_call)

    async def _begin_queued(self) -> bool:
        """Wait for the turn and claim the rows; return False if the turn went back because of an outage."""
        try:
            with self._parts.tracer.span("queue.wait"):
                error = await self._parts.turns.wait(self.turn)
        except ServiceStoppedError:
            raise ServiceStoppedError(
                "The service is stopping. The picture keeps its place in the queue, and nothing is paid yet: the same "
                "request joins it.",
                guid=self.images[0].guid,
            ) from None
        except ImageNotFoundError as cancelled:
            error = cancelled
        if error is not None:
            await self._give_up(error)
        try:
            if self._request is None and self._queued_call is not None:
                self._request = await self._parts.sources.restore(self.images, self._queued_call)
            if self._may_have_started:
                await self._take_back_start()
            started = await self._parts.recorder.start(self.guids, self._parts.new_lease())
        except (DBConnectionError, BlobStoreError) as outage:
            self._may_have_started |= isinstance(outage, DBConnectionError)
            await self._parts.turns.go_back(self.turn, outage, _OUTAGE_S)
            return False
        except GeneratorError as gone:
            await self._give_up(gone)
        if not started:
            if await self._parts.maintenance.statuses(self.guids):
                raise TakenOverError
            await self._give_up(deleted())
        self._record_as(started)
        return True

    async def _take_back_start(self) -> None:
        """Queue the rows again if the start before an outage was committed after all; no call was made for them."""
        if self._queued_call is not None:
            await self._parts.recorder.requeue(self.guids, self._parts.new_lease().owner, self._queued_call)

    def _record_as(self, images: tuple[Image, ...]) -> None:
        self.images = images
        for watcher in self._watchers:
            watcher.show(GenerationOutcome(images))

    async def _go_back(self, refusal: GeneratorRateLimitedError) -> None:
        """Queue a call again that the generator refused for its rate; raise the refusal if it cannot wait for it."""
        await self._parts.turns.refused(self.turn, refusal)
        try:
            if self._queued_call is None:
                self._queued_call = await self._parts.sources.keep(self.guids[0], self._known_request, self.turn.party)
            queued = await self._parts.recorder.requeue(self.guids, self._parts.new_lease().owner, self._queued_call)
        except (DBConnectionError, BlobStoreError) as error:
            logger.error("a call that was refused for its rate cannot be queued again: %s", error.message)
            await self._give_up(refusal)
        if not queued:
            await self._give_up(deleted())
        self._record_as(queued)

    async def _give_up(self, error: PixyProxyException) -> NoReturn:
        """Record that nothing was sent to the generator, and raise the error."""
        await self._parts.recorder.record_unpaid(self.images, error)
        raise error

    async def _generate(self) -> GenerationOutcome:
        """Make one upstream call; raise GeneratorRateLimitedError only if it was refused as a whole."""
        collector = PictureCollector(self._parts.recorder, self.images, self._known_request.priced)
        # Some of the images may have been deleted by hand while they waited.
        early_views = any(watcher.on_partial is not None for watcher in self._watchers)
        request = replace(self._known_request, n=len(self.images), early_views=early_views)
        with MeasuredCall(self._parts.metrics, self.images[0], self._parts.clock.now()) as measured:
            try:
                async with aclosing(self._generated(request, measured)) as generated:
                    async for item in generated:
                        if isinstance(item, GeneratedImage):
                            await collector.add(item)
                        else:
                            self._show_early(item)
            except GeneratorError as error:
                if isinstance(error, GeneratorRateLimitedError) and collector.is_empty:
                    raise
                return await collector.finish(error)
            return await collector.finish()

    def _show_early(self, partial: PartialImage) -> None:
        for watcher in self._watchers:
            if watcher.on_partial is not None:
                watcher.on_partial(partial)

    async def _generated(
        self, request: GenerationRequest, measured: MeasuredCall
    ) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        """Yield what the generator yields; the deadline is for the generator alone, not for storing its pictures."""
        deadline = asyncio.get_running_loop().time() + self._parts.timeout_s
        try:
            async with aclosing(self._parts.generator.generate(request)) as items:
                while True:
                    try:
                        with measured.upstream():
                            async with asyncio.timeout_at(deadline):
                                item = await anext(items)
                    except StopAsyncIteration:
                        return
                    yield item
        except GeneratorError:
            raise
        except TimeoutError:
            raise GeneratorTimeoutError(
                f"The generator did not answer within {self._parts.timeout_s:g} s; the picture may have been paid for."
            ) from None
        except Exception as error:
            # A bug in the generator's code tells nothing about the state of the upstream call.
            logger.exception("the generator %s failed unexpectedly", self._parts.generator.name)
            raise GeneratorConnectionLostError(
                "The generator failed unexpectedly; the picture may have been paid for."
            ) from error


def deleted() -> ImageNotFoundError:
    """Return the error of an image that was deleted from the queue."""
    return ImageNotFoundError("The image was deleted while it waited for its turn: nothing was paid.")
