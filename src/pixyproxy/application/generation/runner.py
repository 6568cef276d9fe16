"""The generations of this process: each runs in a task of its own, which goes on when its caller hangs up."""

import asyncio
import logging
import math
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.application.generation.run import Run, RunParts, TakenOverError, Watcher, deleted
from pixyproxy.application.queue.stored_sources import StoredSources
from pixyproxy.application.queue.turns import Turns
from pixyproxy.domain.errors import (
    CapacityExceededError,
    DataValidationError,
    DBConnectionError,
    PixyProxyException,
    ServiceStoppedError,
)
from pixyproxy.domain.generation import GenerationOutcome, GenerationRequest, ImageDraft, Lease, QueuedCall, QueuePlace
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_generator import ImageGenerator
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from pixyproxy.ports.observation.metrics import Metrics
from pixyproxy.ports.observation.tracer import Tracer

logger = logging.getLogger(__name__)

Task: TypeAlias = asyncio.Task[GenerationOutcome]

_MAX_GUIDS = 1000


@dataclass(frozen=True, slots=True)
class RunningGeneration:
    """A generation whose rows are committed: the images as recorded then, and the task that runs it.

    Shield the task when awaiting it, so that it goes on when the caller is cancelled.
    """

    images: tuple[Image, ...]
    task: Task


class GenerationRunner:
    """Runs generations, each exactly once, when their turn comes.

    A generation is one upstream call, which makes the pictures of one row or of several.
    """

    def __init__(
        self,
        recorder: OutcomeRecorder,
        maintenance: MaintenanceRepository,
        generator: ImageGenerator,
        turns: Turns,
        sources: StoredSources,
        clock: Clock,
        metrics: Metrics,
        tracer: Tracer,
        *,
        owner: str,
        timeout_s: float,
        lease_s: float,
    ) -> None:
        """`timeout_s` is the total deadline of one upstream call, in seconds.

        `owner` names this process in the leases of its rows, which end after `lease_s` seconds unless `maintain` renews
        them. `draining` is true once no more generations are begun.
        """
        self._recorder = recorder
        self._maintenance = maintenance
        self._turns = turns
        self._sources = sources
        self._clock = clock
        self._owner = owner
        self.parts = RunParts(
            recorder, maintenance, generator, turns, sources, metrics, tracer, clock, self.new_lease, timeout_s
        )
        self._lease_length = timedelta(seconds=lease_s)
        self._tasks: set[Task] = set()
        self._tasks_by_guid: dict[str, Task] = {}
        self._runs_by_guid: dict[str, Run] = {}
        self._drain_deadline = math.inf
        self.draining = False

    @property
    def longest_s(self) -> float:
        """The seconds that a generation takes at most, from its submission to the end of the upstream call."""
        return self._turns.timeout_s + self.parts.timeout_s

    @property
    def in_flight(self) -> int:
        """The number of generations that have their turn in this process."""
        return self._turns.running

    @property
    def pending_writes(self) -> int:
        """The number of outcomes that wait for the database."""
        return len(self._recorder.pending_writes)

    def task_of(self, guid: str) -> Task | None:
        """Return the task that generates this image in this process, or waits for its turn, or None."""
        return self._tasks_by_guid.get(guid)

    def place_here(self, guid: str) -> QueuePlace | None:
        """Return the place in the queue of an image that waits in this process, or None."""
        run = self._runs_by_guid.get(guid)
        return None if run is None else self._turns.place_of(run.turn)

    async def place_of(self, image: Image) -> QueuePlace | None:
        """Return the place in the queue of an image, without a time if it waits in another process; None of another.

        It is None while the database is away, too: no answer fails for lack of it.
        """
        if image.status is not Status.QUEUED:
            return None
        try:
            return self.place_here(image.guid) or QueuePlace(await self._maintenance.queued_before(image.id) + 1, None)
        except DBConnectionError:
            return None

    def new_lease(self) -> Lease:
        """Return a lease of this process that begins now."""
        return Lease(self._owner, self._clock.now() + self._lease_length)

    async def start(
        self,
        drafts: Sequence[ImageDraft],
        request: GenerationRequest,
        watcher: Watcher | None = None,
        *,
        caller: str,
    ) -> RunningGeneration:
        """Start the generation of these drafts by one call, or queue it; return once their rows are committed.

        It runs in a task of its own: cancelling this call leaves it running. `watcher` watches it. `caller` is the
        one in whose name it gets its turn.

        Raises:
            DataValidationError: if more pictures are wanted than the pace ever allows.
            CapacityExceededError: if too many wait, or the server is shutting down.
            BlobStoreError, DBConnectionError, IdempotencyKeyTakenError: as `OutcomeRecorder.begin` does.
        """
        if self.draining:
            raise CapacityExceededError("The server is shutting down: try again in a moment.")
        begun: asyncio.Future[tuple[Image, ...]] = asyncio.get_running_loop().create_future()
        task = self._create_task([draft.guid for draft in drafts], self._run(drafts, request, watcher, caller, begun))
        either: list[asyncio.Future[Any]] = [task, begun]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await asyncio.shield(task)  # raises its error
        return RunningGeneration(begun.result(), task)

    def take_over(self, images: Sequence[Image], call: QueuedCall) -> None:
        """Queue a call of another process, whose rows now have leases of this one."""
        self._create_task([image.guid for image in images], self._resume(tuple(images), call))

    def cancel(self, guids: Iterable[str]) -> None:
        """Have those of these images wait no longer that were deleted from the queue."""
        for guid in guids:
            if (run := self._runs_by_guid.get(guid)) is not None:
                self._turns.cancel(run.turn, deleted())

    def watch(self, guid: str, watcher: Watcher) -> None:
        """Have one more watch the generation of an image, if this process runs it."""
        if (run := self._runs_by_guid.get(guid)) is not None:
            run.watch(watcher)

    async def maintain(self) -> None:
        """Renew the leases of generations and write pending outcomes; call it several times per lease."""
        if self._tasks or self._recorder.pending_writes:
            lease = self.new_lease()
            await self._maintenance.renew_leases(lease.owner, lease.expires_at)
        await self._recorder.write_pending()
        waiting = [guid for guid, run in self._runs_by_guid.items() if run.turn.is_waiting]
        for start in range(0, len(waiting), _MAX_GUIDS):
            guids = waiting[start : start + _MAX_GUIDS]
            left = await self._maintenance.statuses(guids)
            self.cancel(guid for guid in guids if guid not in left)

    def begin_drain(self, timeout_s: float) -> None:
        """Start no more generations; those in flight have `timeout_s` seconds, or less if an earlier call said so.

        Those that wait for their turn are left to other processes.
        """
        self.draining = True
        self._drain_deadline = min(self._drain_deadline, asyncio.get_running_loop().time() + timeout_s)
        self._turns.close(ServiceStoppedError("The service is stopping."))

    async def drain(self, timeout_s: float) -> int:
        """Wait for the generations in flight until the deadline of `begin_drain`; return how many are left."""
        self.begin_drain(timeout_s)
        await asyncio.sleep(0)  # lets those end that wait for their turn
        try:
            await self._maintenance.leave_queue(self._owner)
        except DBConnectionError as error:
            logger.warning("queued rows are left to other processes when their leases end: %s", error.message)
        left_s = max(0.0, self._drain_deadline - asyncio.get_running_loop().time())
        if self._tasks:
            logger.info("waiting up to %.0f s for %d generations in flight", left_s, len(self._tasks))
            await asyncio.wait(self._tasks, timeout=left_s)
        if self._tasks:
            logger.error("%d generations are still in flight at the end of the drain", len(self._tasks))
        return len(self._tasks)

    def _create_task(self, guids: Sequence[str], work: Coroutine[Any, Any, GenerationOutcome]) -> Task:
        task: Task = asyncio.create_task(self._traced(guids[0], work))
        self._tasks.add(task)
        self._tasks_by_guid.update(dict.fromkeys(guids, task))
        task.add_done_callback(partial(self._ended, guids))
        return task

    async def _traced(self, guid: str, work: Coroutine[Any, Any, GenerationOutcome]) -> GenerationOutcome:
        with self.parts.tracer.span("generation", guid=guid):
            return await work

    def _ended(self, guids: Sequence[str], task: Task) -> None:
        self._tasks.discard(task)
        for guid in guids:
            self._tasks_by_guid.pop(guid, None)
            self._runs_by_guid.pop(guid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The caller may have hung up, and then only this log shows the error. The message is left out, because a
            # generator's text may repeat the prompt.
            expected = isinstance(error, (PixyProxyException, TakenOverError))
            level = logging.INFO if expected else logging.ERROR
            logger.log(level, "generation ended with %s", type(error).__name__, exc_info=None if expected else error)

    async def _run(
        self,
        drafts: Sequence[ImageDraft],
        request: GenerationRequest,
        watcher: Watcher | None,
        caller: str,
        begun: asyncio.Future[tuple[Image, ...]],
    ) -> GenerationOutcome:
        since = drafts[0].request.created_at
        with self.parts.tracer.span("queue.join"):
            turn = await self._turns.join(caller, self._model_of(request.model), len(drafts), since)
        call = None
        try:
            if turn.is_waiting:
                call = await self._sources.keep(drafts[0].guid, request, caller)
                drafts = [replace(draft, status=Status.QUEUED) for draft in drafts]
                drafts[0] = replace(drafts[0], queued_call=call)
            images = await self._recorder.begin(drafts)
        except BaseException:
            self._turns.end(turn)
            if call is not None:
                await self._sources.drop(call)
            raise
        begun.set_result(images)
        if watcher is not None:
            watcher.show(GenerationOutcome(images))
        return await self._finish(Run(self.parts, turn, images, request, call, watcher))

    async def _resume(self, images: tuple[Image, ...], call: QueuedCall) -> GenerationOutcome:
        request = images[0].request
        try:
            turn = await self._turns.join(
                call.party, self._model_of(request.model), len(images), request.created_at, is_taken_over=True
            )
        except DataValidationError as error:
            await self._recorder.record_unpaid(images, error)
            raise
        return await self._finish(Run(self.parts, turn, images, None, call))

    def _model_of(self, model: str | None) -> str:
        """Return the model whose pace a call is bound by."""
        return model or self.parts.generator.default_model or ""

    async def _finish(self, run: Run) -> GenerationOutcome:
        self._runs_by_guid.update(dict.fromkeys(run.guids, run))
        return await run.finish()
