"""The background work of a running service: renew leases, write pending outcomes, and reconcile."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.maintenance.findings import Action, Finding
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.queue.takeover import QueueTakeover
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

SWEEP = "sweep"
"""The name of the lease that lets one process at a time sweep."""
_SWEEP_EVERY_S = 6 * 3600.0
_WRITE_EVERY_S = 0.5
"""Seconds between attempts to write outcomes that failed while the database was down."""


class Upkeep:
    """Background work that runs until it is cancelled; an outage only makes it try again."""

    def __init__(
        self,
        runner: GenerationRunner,
        reconciler: Reconciler,
        takeover: QueueTakeover,
        maintenance: MaintenanceRepository,
        clock: Clock,
        *,
        owner: str,
        lease_s: float,
    ) -> None:
        """`owner` names this process in leases, which end after `lease_s` seconds and are renewed four times before."""
        self._runner = runner
        self._reconciler = reconciler
        self._takeover = takeover
        self._maintenance = maintenance
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_s
        self._renew_every_s = lease_s / 4

    async def run(self) -> None:
        """Renew, write and reconcile, side by side."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._maintain())
            group.create_task(self._reconcile())

    async def _maintain(self) -> None:
        loop = asyncio.get_running_loop()
        next_renewal = loop.time()
        while True:
            if self._runner.pending_writes or loop.time() >= next_renewal:
                next_renewal = loop.time() + self._renew_every_s
                try:
                    await self._runner.maintain()
                    await self._reconciler.end_leases_of_dead_processes()
                    await self._takeover.run()
                except Exception as error:  # noqa: BLE001 - nothing may end the upkeep
                    _log_postponed("renewing leases and writing outcomes", error)
            await asyncio.sleep(min(self._renew_every_s, _WRITE_EVERY_S))

    async def _reconcile(self) -> None:
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            try:
                # During an outage of the database the leases of running generations may have ended.
                await self._runner.maintain()
                await _report(self._reconciler.interrupted(apply=True))
                if loop.time() >= next_sweep and await self._sweep():
                    next_sweep = loop.time() + _SWEEP_EVERY_S
            except Exception as error:  # noqa: BLE001 - nothing may end the upkeep
                _log_postponed("reconciling", error)
            await asyncio.sleep(self._lease_s)

    async def _sweep(self) -> bool:
        """Sweep while this process holds the lease; return False if another process holds it or takes it over."""
        if not await self._hold_lease():
            return False
        sweep = asyncio.create_task(_report(self._reconciler.sweep(apply=True)))
        try:
            while not (await asyncio.wait([sweep], timeout=self._renew_every_s))[0]:
                if not await self._hold_lease():
                    logger.warning("stopped a sweep: another process took its lease over")
                    return False
            await sweep  # raises its error
            return True
        finally:
            sweep.cancel()
            await asyncio.gather(sweep, return_exceptions=True)
            # If this fails the lease ends by itself.
            with contextlib.suppress(PixyProxyException):
                await self._maintenance.release_lease(SWEEP, self._owner)

    async def _hold_lease(self) -> bool:
        now = self._clock.now()
        return await self._maintenance.acquire_lease(SWEEP, self._owner, now, now + timedelta(seconds=self._lease_s))


def _log_postponed(work: str, error: Exception) -> None:
    expected = isinstance(error, PixyProxyException)
    reason = error.message if isinstance(error, PixyProxyException) else type(error).__name__
    logger.warning("postponed %s: %s", work, reason, exc_info=None if expected else error)


async def _report(findings: AsyncIterator[Finding]) -> None:
    async for finding in findings:
        level = logging.ERROR if finding.action is Action.REPORT else logging.WARNING
        logger.log(level, "reconciled %s: %s: %s", finding.guid or "the store", finding.description, finding.action)
