"""The life of a generation: row, one upstream call, durable bytes, row, in a task that a hang-up does not stop."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import zip_longest
from typing import Any, TypeAlias

from pixyproxy.application.generation.admission import ByteBudget, Landing
from pixyproxy.application.generation.recorder import OutcomeRecorder, Ready
from pixyproxy.domain.errors import (
    CapacityExceededError,
    GeneratorConnectionLostError,
    GeneratorError,
    GeneratorResponseError,
    GeneratorTimeoutError,
    PixyProxyException,
)
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, ImageDraft, Lease
from pixyproxy.domain.image import Image
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator, OnPartial
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

Task: TypeAlias = asyncio.Task[tuple[Ready, ...]]


@dataclass(frozen=True, slots=True)
class Running:
    """A generation whose rows are committed: the rows as they began, and the task that takes them to their end."""

    images: tuple[Image, ...]
    task: Task

    async def result(self) -> tuple[Ready, ...]:
        """The images that are ready, at least one; cancelling this call leaves the generation running."""
        return await asyncio.shield(self.task)


class GenerationRunner:
    """Runs generations, a bounded number at a time, each exactly once.

    A generation is one upstream call; it makes the pictures of one row or of several.
    """

    def __init__(
        self,
        finisher: OutcomeRecorder,
        recovery: MaintenanceRepository,
        generator: ImageGenerator,
        clock: Clock,
        *,
        owner: str,
        max_in_flight: int,
        timeout_s: float,
        lease_s: float,
        landings: ByteBudget | None = None,
    ) -> None:
        """`timeout_s` is the total deadline of one upstream call, in seconds.

        `owner` names this process in the leases of its rows, which run `lease_s` seconds unless renewed by
        `keep_up`. `draining` turns true when no more generations are begun.
        """
        self._finisher = finisher
        self._recovery = recovery
        self._generator = generator
        self._clock = clock
        self._owner = owner
        self._max_in_flight = max_in_flight
        self._lease = timedelta(seconds=lease_s)
        self._landings = landings or ByteBudget()
        self._tasks: set[Task] = set()
        self._running: dict[str, Task] = {}
        self._drain_deadline = 0.0
        self.draining = False
        self.timeout_s = timeout_s

    @property
    def generator_name(self) -> str:
        """The name that is recorded with what is generated here."""
        return self._generator.name

    @property
    def can_edit(self) -> bool:
        """Whether pictures can be made from pictures here."""
        return self._generator.can_edit

    @property
    def in_flight(self) -> int:
        """How many generations are running here."""
        return len(self._tasks)

    @property
    def unrecorded(self) -> int:
        """How many generations have ended while the database was away, so that their rows do not know it yet."""
        return len(self._finisher.unrecorded)

    def task_of(self, guid: str) -> Task | None:
        """The task that makes this image, if it is running here, or None."""
        return self._running.get(guid)

    def lease(self) -> Lease:
        """Return a lease of this process that begins now."""
        return Lease(self._owner, self._clock.now() + self._lease)

    async def start(
        self,
        drafts: Sequence[ImageDraft],
        request: GenerationRequest,
        *,
        on_partial: OnPartial | None = None,
    ) -> Running:
        """Begin the life of drafts that one call makes, and return once their rows are committed.

        It goes on in a task of its own: cancelling this call leaves it running. Early views go to `on_partial` if the
        generator has them. Raises what `ImageService.create` says is raised before anything is paid, and
        IdempotencyKeyTakenError.
        """
        if self.draining:
            raise CapacityExceededError("The server is shutting down: try again in a moment.")
        if len(self._tasks) >= self._max_in_flight:
            raise CapacityExceededError(
                f"All {self._max_in_flight} places for generations are taken; nothing was begun: try again later."
            )
        recorded: asyncio.Future[tuple[Image, ...]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(drafts, request, on_partial, recorded))
        self._tasks.add(task)
        self._running.update({draft.guid: task for draft in drafts})
        task.add_done_callback(partial(self._done, drafts))
        either: list[asyncio.Future[Any]] = [task, recorded]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not recorded.done():
            await asyncio.shield(task)  # which raises
        return Running(recorded.result(), task)

    async def keep_up(self) -> None:
        """Renew the leases of what is running here, and record what could not be recorded before.

        Called every fraction of a lease. Raises DBConnectionError while the database is away.
        """
        if self._tasks or self._finisher.unrecorded:
            await self._recovery.renew_leases(self._owner, self.lease().expires_at)
        await self._finisher.catch_up()

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

    def _done(self, drafts: Sequence[ImageDraft], task: Task) -> None:
        self._tasks.discard(task)
        for draft in drafts:
            self._running.pop(draft.guid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The caller may have hung up, and then nobody else would ever see this. Not the message: a
            # generator's own words may repeat the prompt.
            expected = isinstance(error, PixyProxyException)
            level = logging.INFO if expected else logging.ERROR
            logger.log(level, "generation ended with %s", type(error).__name__, exc_info=None if expected else error)

    async def _live(
        self,
        drafts: Sequence[ImageDraft],
        request: GenerationRequest,
        on_partial: OnPartial | None,
        recorded: asyncio.Future[tuple[Image, ...]],
    ) -> tuple[Ready, ...]:
        await self._finisher.admit()
        images = await self._finisher.begin(drafts)
        recorded.set_result(images)
        with self._landings.landing() as landing:
            made = await self._make(drafts, request, on_partial, landing)
            landing.arrived(sum(len(picture.data) for picture in made))
            for surplus in made[len(drafts) :]:
                await self._finisher.keep_surplus(drafts[0], surplus)
            return await self._finish_all(drafts, images, made)

    async def _make(
        self, drafts: Sequence[ImageDraft], request: GenerationRequest, on_partial: OnPartial | None, landing: Landing
    ) -> tuple[GeneratedImage, ...]:
        """The pictures of the call, at least one; where there is none, that is recorded and raised."""
        try:
            return await self._call(request, on_partial, landing)
        except GeneratorError as error:
            if isinstance(error, GeneratorResponseError):
                await self._finisher.keep_answer(drafts[0], error)
            for draft in drafts:
                await self._finisher.fail(draft, error)
            error.guid = drafts[0].guid
            raise

    async def _finish_all(
        self,
        drafts: Sequence[ImageDraft],
        images: Sequence[Image],
        made: Sequence[GeneratedImage],
    ) -> tuple[Ready, ...]:
        """Take each picture to its end, whatever becomes of the others; raises the first error if none is ready."""
        ready: list[Ready] = []
        errors: list[PixyProxyException] = []
        for draft, image, picture in zip_longest(drafts, images, made[: len(drafts)]):
            try:
                ready.append(await self._finisher.finish(draft, image, picture))
            except PixyProxyException as error:
                logger.error("image %s of a generation is not ready: %s", draft.guid, type(error).__name__)
                errors.append(error)
            except Exception:
                # A fault of our own with one picture must not cost the others.
                logger.exception("image %s of a generation could not be finished", draft.guid)
                errors.append(await self._finisher.give_up(draft, picture))
        if not ready:
            raise errors[0]
        return tuple(ready)

    async def _call(
        self, request: GenerationRequest, on_partial: OnPartial | None, landing: Landing
    ) -> tuple[GeneratedImage, ...]:
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                make_room = partial(landing.make_room, deadline=deadline)
                return await self._generator.generate(request, on_partial, make_room)
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
