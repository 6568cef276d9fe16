"""One process at a time sweeps, from where another ended, and the death of one does not stop the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.maintenance.findings import Action, Finding
from pixyproxy.application.maintenance.sweeping.periodic_sweep import PAUSE_S, PICTURES, ROUND_PAUSE_S, SWEEP
from pixyproxy.application.maintenance.sweeping.sweep import SweepPosition
from pixyproxy.application.maintenance.upkeep import Upkeep
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.ports.clock import Clock

LEASE_S = 0.04
LEASE = timedelta(seconds=LEASE_S)
PAUSE, ROUND_PAUSE = timedelta(seconds=PAUSE_S), timedelta(seconds=ROUND_PAUSE_S)


class ManualClock(Clock):
    """A clock that a test moves, so that a slow machine ends no lease."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class IdleRunner:
    """A runner without generations."""

    pending_writes = 0

    async def maintain(self) -> None:
        pass


class IdleTakeover:
    """A queue that has nothing to take over."""

    async def run(self) -> int:
        return 0


class SlowReconciler:
    """Reconciler whose sweeps last until the test releases them; counts started, ended and stopped sweeps.

    The first step of a round ends at `middle`, where that is not 0.
    """

    def __init__(self) -> None:
        self.begun = self.ended = self.stopped = 0
        self.from_shards: list[int] = []
        self.middle = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def interrupted(self, *, apply: bool) -> AsyncIterator[Finding]:
        assert apply
        for finding in ():
            yield finding

    async def end_leases_of_dead_processes(self) -> None:
        pass

    async def rescued_responses(self, *, apply: bool) -> AsyncIterator[Finding]:
        assert apply
        for finding in ():
            yield finding

    async def sweep(self, *, apply: bool, position: SweepPosition, pictures: float) -> AsyncIterator[Finding]:
        assert (apply, pictures) == (True, PICTURES)
        self.begun += 1
        self.from_shards.append(position.shard)
        yield Finding("", "something odd", Action.REPORT)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error
        position.shard = 0 if position.shard else self.middle
        self.ended += 1


class Process:
    """A process on a shared database that does its upkeep."""

    def __init__(self, maintenance: MemoryMaintenanceRepository, clock: Clock, owner: str) -> None:
        self.reconciler = SlowReconciler()
        upkeep = Upkeep(
            cast(Any, IdleRunner()),
            cast(Any, self.reconciler),
            cast(Any, IdleTakeover()),
            maintenance,
            clock,
            owner=owner,
            lease_s=LEASE_S,
        )
        self.task = asyncio.create_task(upkeep.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def maintenance(storage: MemoryStorage) -> MemoryMaintenanceRepository:
    return MemoryMaintenanceRepository(storage)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(LEASE_S / 8)


async def pass_terms(number: int, storage: MemoryStorage, clock: ManualClock) -> None:
    """Move the clock on by so many terms of a lease, as fast as the lease is renewed."""
    owner, _ = storage.named_leases[SWEEP]
    for _ in range(4 * number):
        clock.time += LEASE / 4
        await until(lambda: storage.named_leases[SWEEP] == (owner, clock.time + LEASE))


async def test_a_sweep_holds_its_lease_longer_than_one_term_and_until_the_next_round(
    maintenance: MemoryMaintenanceRepository,
    storage: MemoryStorage,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process(maintenance, clock, "one")
    await until(lambda: process.reconciler.begun == 1)
    await pass_terms(3, storage, clock)
    process.reconciler.may_end.set()
    await until(lambda: process.reconciler.ended == 1)
    await until(lambda: storage.named_leases[SWEEP] == ("one", clock.time + ROUND_PAUSE))
    assert "reconciled the store: something odd: report" in caplog.text
    await process.stop()


async def test_two_processes_never_sweep_at_once(
    maintenance: MemoryMaintenanceRepository,
    storage: MemoryStorage,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Process(maintenance, clock, "one")
    await until(lambda: one.reconciler.begun == 1)
    with caplog.at_level(logging.INFO):
        other = Process(maintenance, clock, "other")
        caplog.clear()
        await pass_terms(4, storage, clock)
        assert (other.reconciler.begun, caplog.records) == (0, [])
    one.reconciler.may_end.set()
    await until(lambda: storage.named_leases[SWEEP] == ("one", clock.time + ROUND_PAUSE))
    clock.time += ROUND_PAUSE
    await asyncio.sleep(2 * LEASE_S)
    assert other.reconciler.begun == 0
    clock.time += LEASE
    await until(lambda: other.reconciler.begun == 1)
    assert (one.reconciler.begun, one.reconciler.ended) == (1, 1)
    await one.stop()
    await other.stop()


async def test_another_process_goes_on_where_a_step_ended(
    maintenance: MemoryMaintenanceRepository, storage: MemoryStorage, clock: ManualClock
) -> None:
    one = Process(maintenance, clock, "one")
    one.reconciler.middle = 0x7F
    one.reconciler.may_end.set()
    await until(lambda: storage.named_leases.get(SWEEP) == ("one", clock.time + PAUSE))
    assert storage.lease_positions == {SWEEP: "7f"}
    await one.stop()
    other = Process(maintenance, clock, "other")
    other.reconciler.may_end.set()
    clock.time += PAUSE + LEASE
    await until(lambda: storage.named_leases[SWEEP] == ("other", clock.time + ROUND_PAUSE))
    assert storage.lease_positions == {SWEEP: "00"}
    assert (one.reconciler.from_shards, other.reconciler.from_shards) == ([0], [0x7F])
    await other.stop()


async def test_a_position_that_names_no_shard_is_the_beginning(
    maintenance: MemoryMaintenanceRepository, storage: MemoryStorage, clock: ManualClock
) -> None:
    storage.lease_positions[SWEEP] = "of another program"
    process = Process(maintenance, clock, "one")
    await until(lambda: process.reconciler.from_shards == [0])
    await process.stop()


async def test_a_dead_process_does_not_stop_sweeps(
    maintenance: MemoryMaintenanceRepository, clock: ManualClock
) -> None:
    assert await maintenance.acquire_lease(SWEEP, "dead", clock.time, clock.time + LEASE)
    process = Process(maintenance, clock, "one")
    await asyncio.sleep(2 * LEASE_S)
    assert process.reconciler.begun == 0
    clock.time += 2 * LEASE
    await until(lambda: process.reconciler.begun == 1)
    await process.stop()


async def test_a_stopped_process_ends_its_sweep_and_releases_the_lease(
    maintenance: MemoryMaintenanceRepository, storage: MemoryStorage, clock: ManualClock
) -> None:
    process = Process(maintenance, clock, "one")
    await until(lambda: process.reconciler.begun == 1)
    await process.stop()
    assert process.reconciler.stopped == 1
    assert not storage.named_leases


async def test_a_sweep_stops_when_another_process_has_its_lease(
    maintenance: MemoryMaintenanceRepository,
    storage: MemoryStorage,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process(maintenance, clock, "one")
    await until(lambda: process.reconciler.begun == 1)
    await maintenance.release_lease(SWEEP, "one")
    assert await maintenance.acquire_lease(SWEEP, "other", clock.time, clock.time + LEASE)
    await until(lambda: process.reconciler.stopped == 1)
    assert "another process took its lease over" in caplog.text
    assert storage.named_leases[SWEEP][0] == "other"
    await process.stop()


ERRORS = [(DBConnectionError("The database was lost."), "The database was lost."), (MemoryError(), "MemoryError")]


@pytest.mark.parametrize(("error", "words"), ERRORS)
async def test_a_sweep_that_fails_is_repeated(
    maintenance: MemoryMaintenanceRepository,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    words: str,
) -> None:
    process = Process(maintenance, clock, "one")
    process.reconciler.error = error
    process.reconciler.may_end.set()
    await until(lambda: process.reconciler.begun == 2)
    assert f"postponed sweeping: {words}" in caplog.text
    await process.stop()


@pytest.mark.parametrize(("error", "words"), ERRORS)
async def test_writing_outcomes_goes_on_after_any_error(
    maintenance: MemoryMaintenanceRepository,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    calls = 0

    async def fail(runner: IdleRunner) -> None:
        nonlocal calls
        calls += 1
        raise error

    monkeypatch.setattr(IdleRunner, "maintain", fail)
    process = Process(maintenance, clock, "one")
    await until(lambda: calls > 5)
    assert f"postponed renewing leases and writing outcomes: {words}" in caplog.text
    await process.stop()
