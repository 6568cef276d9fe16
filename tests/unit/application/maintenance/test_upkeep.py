"""One process at a time sweeps, and a dead one does not stop the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.application.maintenance.findings import Action, Finding
from pixyproxy.application.maintenance.upkeep import SWEEP, Upkeep
from pixyproxy.domain.errors import DBConnectionError

LEASE_S = 0.04
CLOCK = SystemClock()


class IdleRunner:
    """A runner without generations."""

    pending_writes = 0

    async def maintain(self) -> None:
        pass


class SlowReconciler:
    """A reconciler whose sweeps take as long as a test wants; counts those that began, ended and were stopped."""

    def __init__(self) -> None:
        self.begun = self.ended = self.stopped = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def interrupted(self, *, apply: bool) -> AsyncIterator[Finding]:
        assert apply
        for finding in ():
            yield finding

    async def sweep(self, *, apply: bool) -> AsyncIterator[Finding]:
        assert apply
        self.begun += 1
        yield Finding("", "something odd", Action.REPORT)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error
        self.ended += 1


class Process:
    """A process on a shared database that does its upkeep."""

    def __init__(self, maintenance: MemoryMaintenanceRepository, owner: str) -> None:
        self.reconciler = SlowReconciler()
        upkeep = Upkeep(
            cast(Any, IdleRunner()),
            cast(Any, self.reconciler),
            maintenance,
            CLOCK,
            owner=owner,
            lease_s=LEASE_S,
        )
        self.task = asyncio.create_task(upkeep.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def maintenance() -> MemoryMaintenanceRepository:
    return MemoryMaintenanceRepository()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(LEASE_S / 8)


async def is_free(maintenance: MemoryMaintenanceRepository) -> bool:
    """Return whether nobody holds the lease, by taking and releasing it."""
    now = CLOCK.now()
    if not await maintenance.acquire_lease(SWEEP, "probe", now, now + timedelta(seconds=60)):
        return False
    await maintenance.release_lease(SWEEP, "probe")
    return True


async def test_a_sweep_holds_its_lease_longer_than_one_term_and_releases_it(
    maintenance: MemoryMaintenanceRepository, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(maintenance, "one")
    await until(lambda: process.reconciler.begun == 1)
    for _ in range(12):
        await asyncio.sleep(LEASE_S / 4)
        assert not await is_free(maintenance)
    process.reconciler.may_end.set()
    await until(lambda: process.reconciler.ended == 1)
    await asyncio.sleep(LEASE_S)
    assert await is_free(maintenance)
    assert "reconciled the store: something odd: report" in caplog.text
    await process.stop()


async def test_two_processes_never_sweep_at_once(
    maintenance: MemoryMaintenanceRepository, caplog: pytest.LogCaptureFixture
) -> None:
    one = Process(maintenance, "one")
    await until(lambda: one.reconciler.begun == 1)
    with caplog.at_level(logging.INFO):
        other = Process(maintenance, "other")
        caplog.clear()
        await asyncio.sleep(4 * LEASE_S)
        assert (other.reconciler.begun, caplog.records) == (0, [])
    one.reconciler.may_end.set()
    await until(lambda: other.reconciler.begun == 1)
    assert one.reconciler.ended == 1
    await one.stop()
    await other.stop()


async def test_a_dead_process_does_not_stop_sweeps(maintenance: MemoryMaintenanceRepository) -> None:
    now = CLOCK.now()
    assert await maintenance.acquire_lease(SWEEP, "dead", now, now + timedelta(seconds=4 * LEASE_S))
    process = Process(maintenance, "one")
    await asyncio.sleep(LEASE_S)
    assert process.reconciler.begun == 0
    await until(lambda: process.reconciler.begun == 1)
    await process.stop()


async def test_a_stopped_process_ends_its_sweep_and_releases_the_lease(
    maintenance: MemoryMaintenanceRepository,
) -> None:
    process = Process(maintenance, "one")
    await until(lambda: process.reconciler.begun == 1)
    await process.stop()
    assert process.reconciler.stopped == 1
    assert await is_free(maintenance)


async def test_a_sweep_stops_when_another_process_has_its_lease(
    maintenance: MemoryMaintenanceRepository, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(maintenance, "one")
    await until(lambda: process.reconciler.begun == 1)
    await maintenance.release_lease(SWEEP, "one")
    now = CLOCK.now()
    assert await maintenance.acquire_lease(SWEEP, "other", now, now + timedelta(seconds=60))
    await until(lambda: process.reconciler.stopped == 1)
    assert "another process took its lease over" in caplog.text
    assert not await is_free(maintenance)
    await process.stop()


async def test_a_sweep_that_fails_is_repeated(
    maintenance: MemoryMaintenanceRepository, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(maintenance, "one")
    process.reconciler.error = DBConnectionError("The database was lost.")
    process.reconciler.may_end.set()
    await until(lambda: process.reconciler.begun == 2)
    assert "postponed reconciling: The database was lost." in caplog.text
    await process.stop()
