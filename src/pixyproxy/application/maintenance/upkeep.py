"""What a running service does beside serving: it renews leases, records what is due, and reconciles."""

import asyncio
import logging

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.application.maintenance.findings import Action
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.domain.errors import PixyProxyException

logger = logging.getLogger(__name__)

_SWEEP_EVERY_S = 6 * 3600.0
_RECORD_EVERY_S = 0.5
"""How often is tried to record what could not be recorded: soon after the database is back, it is."""


class Upkeep:
    """Runs until it is cancelled; an outage only makes it try again."""

    def __init__(self, generations: GenerationRunner, reconciler: Reconciler, *, lease_s: float) -> None:
        """`lease_s` is how long a lease runs, in seconds; it is renewed four times in that time."""
        self._generations = generations
        self._reconciler = reconciler
        self._lease_s = lease_s

    async def run(self) -> None:
        """Renew, record and reconcile, side by side."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_up())
            group.create_task(self._reconcile())

    async def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        renew_every_s = self._lease_s / 4
        next_renewal = loop.time()
        while True:
            if self._generations.pending_writes or loop.time() >= next_renewal:
                next_renewal = loop.time() + renew_every_s
                try:
                    await self._generations.maintain()
                except PixyProxyException as error:
                    logger.warning("leases and records are put off: %s", error.message)
            await asyncio.sleep(min(renew_every_s, _RECORD_EVERY_S))

    async def _reconcile(self) -> None:
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            try:
                # During an outage of the database the leases of what is running here may have ended.
                await self._generations.maintain()
                await self._report(sweep=False)
                if loop.time() >= next_sweep:
                    await self._report(sweep=True)
                    next_sweep = loop.time() + _SWEEP_EVERY_S
            except PixyProxyException as error:
                logger.warning("reconciling is put off: %s", error.message)
            await asyncio.sleep(self._lease_s)

    async def _report(self, *, sweep: bool) -> None:
        look = self._reconciler.sweep if sweep else self._reconciler.interrupted
        async for finding in look(apply=True):
            level = logging.ERROR if finding.action is Action.REPORT else logging.WARNING
            logger.log(level, "reconciled %s: %s: %s", finding.guid or "the store", finding.what, finding.action)
