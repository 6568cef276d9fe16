"""The sweep of a running service: some shards at a time, by one process at a time, from where the last one ended."""

import asyncio
import contextlib
import logging
from datetime import timedelta

from pixyproxy.application.maintenance.findings import log_findings
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.sweeping.sweep import SHARDS, SweepPosition
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

SWEEP = "sweep"
"""The name of the lease that lets one process at a time sweep, and that holds the position."""
PICTURES = 2000
"""Pictures after which a step ends with its shard: a small store is compared as a whole."""
PAUSE_S = 30.0
"""Seconds between two steps."""
ROUND_PAUSE_S = 6 * 3600.0
"""Seconds between the last step of a round and the first of the next."""


class PeriodicSweep:
    """Steps of a sweep, whichever process takes them.

    The lease runs on through the pause after a step, so that no process takes the next one before.
    """

    def __init__(
        self, reconciler: Reconciler, maintenance: MaintenanceRepository, clock: Clock, *, owner: str, lease_s: float
    ) -> None:
        self._reconciler = reconciler
        self._maintenance = maintenance
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_s

    async def step(self) -> float:
        """Sweep the next shards unless another process has the lease; return the seconds until the next attempt."""
        if not await self._hold_lease(self._lease_s):
            return self._lease_s
        position = _parse(await self._maintenance.lease_position(SWEEP))
        findings = self._reconciler.sweep(apply=True, position=position, pictures=PICTURES)
        work = asyncio.create_task(log_findings(findings))
        pause_s = 0.0
        try:
            while not (await asyncio.wait([work], timeout=self._lease_s / 4))[0]:
                if not await self._hold_lease(self._lease_s):
                    logger.warning("stopped a sweep: another process took its lease over")
                    return self._lease_s
            await work  # raises its error
            await self._maintenance.save_lease_position(SWEEP, self._owner, SHARDS[position.shard])
            pause_s = PAUSE_S if position.shard else ROUND_PAUSE_S
            await self._hold_lease(pause_s)
            return pause_s
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            if not pause_s:
                # If this fails the lease ends by itself.
                with contextlib.suppress(PixyProxyException):
                    await self._maintenance.release_lease(SWEEP, self._owner)

    async def _hold_lease(self, seconds: float) -> bool:
        now = self._clock.now()
        return await self._maintenance.acquire_lease(SWEEP, self._owner, now, now + timedelta(seconds=seconds))


def _parse(position: str) -> SweepPosition:
    """Return the position that a shard names; one that no shard has is the beginning."""
    return SweepPosition(SHARDS.index(position) if position in SHARDS else 0)
