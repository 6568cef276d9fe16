"""The middle step of a generation: one upstream call, in a task that goes on when its caller hangs up."""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from pixyproxy.application.generation.collector import PictureCollector
from pixyproxy.application.generation.recorder import GenerationOutcome, OutcomeRecorder
from pixyproxy.domain.errors import (
    CapacityExceededError,
    GeneratorConnectionLostError,
    GeneratorError,
    GeneratorTimeoutError,
    PixyProxyException,
)
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, ImageDraft, Lease, PartialImage
from pixyproxy.domain.image import Image
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

Task: TypeAlias = asyncio.Task[GenerationOutcome]
OnPartial: TypeAlias = Callable[[PartialImage], None]
"""Callback that receives each partial image in the event loop; it returns at once and raises nothing."""


@dataclass(frozen=True, slots=True)
class RunningGeneration:
    """A generation whose rows are committed: the images as recorded then, and the task that runs it.

    Shield the task when awaiting it, so that it goes on when the caller is cancelled.
    """

    images: tuple[Image, ...]
    task: Task


class GenerationRunner:
    """Runs generations, a bounded number at a time, each exactly once.

    A generation is one upstream call, which makes the pictures of one row or of several.
    """

    def __init__(
        self,
        recorder: OutcomeRecorder,
        maintenance: MaintenanceRepository,
        generator: ImageGenerator,
        clock: Clock,
        *,
        owner: str,
        max_in_flight: int,
        timeout_s: float,
        lease_s: float,
    ) -> None:
        """`timeout_s` is the total deadline of one upstream call, in seconds.

        `owner` names this process in the leases of its rows, which end after `lease_s` seconds unless `maintain`
        renews them. `draining` is true once no more generations are begun.
        """
        self._recorder = recorder
        self._maintenance = maintenance
        self._generator = generator
        self._clock = clock
        self._owner = owner
        self._max_in_flight = max_in_flight
        self._lease_length = timedelta(seconds=lease_s)
        self._tasks: set[Task] = set()
        self._tasks_by_guid: dict[str, Task] = {}
        self._drain_deadline = math.inf
        self.draining = False
        self.timeout_s = timeout_s

    @property
    def in_flight(self) -> int:
        """The number of generations that are running in this process."""
        return len(self._tasks)

    @property
    def pending_writes(self) -> int:
        """The number of outcomes that wait for the database."""
        return len(self._recorder.pending_writes)

    def task_of(self, guid: str) -> Task | None:
        """Return the task that generates this image in this process, or None."""
        return self._tasks_by_guid.get(guid)

    def new_lease(self) -> Lease:
        """Return a lease of this process that begins now."""
        return Lease(self._owner, self._clock.now() + self._lease_length)

    async def start(
        self, drafts: Sequence[ImageDraft], request: GenerationRequest, on_partial: OnPartial | None = None
    ) -> RunningGeneration:
        """Start the generation of these drafts by one call, and return once their rows are committed.

        It runs in a task of its own: cancelling this call leaves it running. Early views go to `on_partial` if the
        generator has any.

        Raises:
            CapacityExceededError: if too many generations are running, or the server is shutting down.
            BlobStoreError, DBConnectionError, IdempotencyKeyTakenError: as `OutcomeRecorder.begin` does.
        """
        if self.draining:
            raise CapacityExceededError("The server is shutting down: try again in a moment.")
        if len(self._tasks) >= self._max_in_flight:
            raise CapacityExceededError(
                f"All {self._max_in_flight} places for generations are taken; nothing was begun: try again later."
            )
        begun: asyncio.Future[tuple[Image, ...]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(drafts, request, on_partial, begun))
        self._tasks.add(task)
        self._tasks_by_guid.update({draft.guid: task for draft in drafts})
        task.add_done_callback(partial(self._ended, drafts))
        either: list[asyncio.Future[Any]] = [task, begun]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await asyncio.shield(task)  # raises its error
        return RunningGeneration(begun.result(), task)

    async def maintain(self) -> None:
        """Renew the leases of running generations and write pending outcomes; call it several times per lease."""
        if self._tasks or self._recorder.pending_writes:
            lease = self.new_lease()
            await self._maintenance.renew_leases(lease.owner, lease.expires_at)
        await self._recorder.write_pending()

    def begin_drain(self, timeout_s: float) -> None:
        """Start no more generations; those in flight have `timeout_s` seconds, or less if an earlier call said so."""
        self.draining = True
        self._drain_deadline = min(self._drain_deadline, asyncio.get_running_loop().time() + timeout_s)

    async def drain(self, timeout_s: float) -> int:
        """Wait for the generations in flight until the deadline of `begin_drain`; return how many are left."""
        self.begin_drain(timeout_s)
        left_s = max(0.0, self._drain_deadline - asyncio.get_running_loop().time())
        if self._tasks:
            logger.info("waiting up to %.0f s for %d generations in flight", left_s, len(self._tasks))
            await asyncio.wait(self._tasks, timeout=left_s)
        if self._tasks:
            logger.error("%d generations are still in flight at the end of the drain", len(self._tasks))
        return len(self._tasks)

    def _ended(self, drafts: Sequence[ImageDraft], task: Task) -> None:
        self._tasks.discard(task)
        for draft in drafts:
            self._tasks_by_guid.pop(draft.guid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The caller may have hung up, and then only this log shows the error. The message is left out, because a
            # generator's text may repeat the prompt.
            expected = isinstance(error, PixyProxyException)
            level = logging.INFO if expected else logging.ERROR
            logger.log(level, "generation ended with %s", type(error).__name__, exc_info=None if expected else error)

    async def _run(
        self,
        drafts: Sequence[ImageDraft],
        request: GenerationRequest,
        on_partial: OnPartial | None,
        begun: asyncio.Future[tuple[Image, ...]],
    ) -> GenerationOutcome:
        images = await self._recorder.begin(drafts)
        begun.set_result(images)
        collector = PictureCollector(self._recorder, images)
        try:
            async with aclosing(self._generated(replace(request, early_views=on_partial is not None))) as generated:
                async for item in generated:
                    if isinstance(item, GeneratedImage):
                        await collector.add(item)
                    elif on_partial is not None:
                        on_partial(item)
        except GeneratorError as error:
            return await collector.finish(error)
        return await collector.finish()

    async def _generated(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        """Yield what the generator yields; the deadline is for the generator alone, not for storing its pictures."""
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        try:
            async with aclosing(self._generator.generate(request)) as items:
                while True:
                    try:
                        async with asyncio.timeout_at(deadline):
                            item = await anext(items)
                    except StopAsyncIteration:
                        return
                    yield item
        except GeneratorError:
            raise
        except TimeoutError:
            raise GeneratorTimeoutError(
                f"The generator did not answer within {self.timeout_s:g} s; the picture may have been paid for."
            ) from None
        except Exception as error:
            # A bug in the generator's code tells nothing about the state of the upstream call.
            logger.exception("the generator %s failed unexpectedly", self._generator.name)
            raise GeneratorConnectionLostError(
                "The generator failed unexpectedly; the picture may have been paid for."
            ) from error
