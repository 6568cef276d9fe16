"""The background work of a running service: renew leases, write pending outcomes, reconcile and sweep."""

import asyncio
import logging

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.maintenance.findings import log_findings
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.sweeping.periodic_sweep import PeriodicSweep
from pixyproxy.application.queue.takeover import QueueTakeover
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

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
        self._sweeps = PeriodicSweep(reconciler, maintenance, clock, owner=owner, lease_s=lease_s)
        self._lease_s = lease_s
        self._renew_every_s = lease_s / 4

    async def run(self) -> None:
        """Renew, write, reconcile and sweep, side by side."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._maintain())
            group.create_task(self._reconcile())
            group.create_task(self._sweep())

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
        while True:
            try:
                # During an outage of the database the leases of running generations may have ended.
                await self._runner.maintain()
                await log_findings(self._reconciler.interrupted(apply=True))
            except Exception as error:  # noqa: BLE001 - nothing may end the upkeep
                _log_postponed("reconciling", error)
            await asyncio.sleep(self._lease_s)

    async def _sweep(self) -> None:
        while True:
            pause_s = self._lease_s
            try:
                pause_s = await self._sweeps.step()
            except Exception as error:  # noqa: BLE001 - nothing may end the upkeep
                _log_postponed("sweeping", error)
            await asyncio.sleep(pause_s)


def _log_postponed(work: str, error: Exception) -> None:
    expected = isinstance(error, PixyProxyException)
    reason = error.message if isinstance(error, PixyProxyException) else type(error).__name__
    logger.warning("postponed %s: %s", work, reason, exc_info=None if expected else error)
