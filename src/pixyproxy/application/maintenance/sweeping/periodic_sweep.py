"""The sweep of a running service: some shards at a time, by one process at a time, from where the last one ended."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from pixyproxy.application.maintenance.findings import Finding, log_findings
from pixyproxy.application.maintenance.reconciler import Reconciler
from pixyproxy.application.maintenance.sweeping.sweep import SHARDS, SweepPosition
from pixyproxy.domain.errors import BlobStoreError, PixyProxyException
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.maintenance_repository import MaintenanceRepository

logger = logging.getLogger(__name__)

SWEEP = "sweep"
"""The name of the lease that lets one process at a time sweep, and that holds the position."""
RESPONSES = "rescued-responses"
"""The name of the lease that lets one process at a time read rescued responses at its start."""
PICTURES = 2000
"""Pictures after which a step ends with its shard: a small store is compared as a whole."""
PAUSE_S = 30.0
"""Seconds between two steps."""
ROUND_PAUSE_S = 6 * 3600.0
"""Seconds between the last step of a round and the first of the next."""
_POSITIONS = (*SHARDS, "end")
"""The names of positions in the row of the lease."""


class PeriodicSweep:
    """Steps of a sweep, whichever process takes them.

    The lease runs on through the pause after a step, so that no process takes the next one before. A shard whose files
    cannot be read is left to the next round. Rescued responses are read at the start too, under another lease: that of
    sweeps may run on for hours after a process that has ended.
    """

    def __init__(
        self, reconciler: Reconciler, maintenance: MaintenanceRepository, clock: Clock, *, owner: str, lease_s: float
    ) -> None:
        self._reconciler = reconciler
        self._maintenance = maintenance
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_s
        self._has_read_responses = False

    async def step(self) -> float:
        """Sweep the next shards unless another process has the lease; return the seconds until the next attempt."""
        if not self._has_read_responses:
            await self._read_responses()
        if not await self._hold(SWEEP, self._lease_s):
            return self._lease_s
        pause_s = 0.0
        try:
            position = _parse(await self._maintenance.lease_position(SWEEP))
            try:
                findings = self._reconciler.sweep(apply=True, position=position, pictures=PICTURES)
                if not await self._log(findings, SWEEP):
                    return self._lease_s
            except BlobStoreError as error:
                logger.error("a sweep failed at %s and goes on after it: %s", _passed(position), error.message)
            await self._maintenance.save_lease_position(SWEEP, self._owner, _POSITIONS[position.shard])
            pause_s = PAUSE_S if position.shard else ROUND_PAUSE_S
            await self._hold(SWEEP, pause_s)
            return pause_s
        finally:
            if not pause_s:
                await self._release(SWEEP)

    async def _read_responses(self) -> None:
        """Read rescued responses, which a newer version may understand, unless another process does so now."""
        if not await self._hold(RESPONSES, self._lease_s):
            return
        self._has_read_responses = True  # even if it fails: sweeps go on, and read them at the end of a round
        try:
            await self._log(self._reconciler.rescued_responses(apply=True), RESPONSES)
        except BlobStoreError as error:
            logger.error("left rescued responses to the end of the round: %s", error.message)
        finally:
            await self._release(RESPONSES)

    async def _log(self, findings: AsyncIterator[Finding], lease: str) -> bool:
        """Log findings and renew the lease meanwhile; stop and return False if another process has taken it over."""
        work = asyncio.create_task(log_findings(findings))
        try:
            while not (await asyncio.wait([work], timeout=self._lease_s / 4))[0]:
                if not await self._hold(lease, self._lease_s):
                    logger.warning("stopped %s: another process took its lease over", lease)
                    return False
            await work  # raises its error
            return True
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _hold(self, lease: str, seconds: float) -> bool:
        now = self._clock.now()
        return await self._maintenance.acquire_lease(lease, self._owner, now, now + timedelta(seconds=seconds))

    async def _release(self, lease: str) -> None:
        # If this fails the lease ends by itself.
        with contextlib.suppress(PixyProxyException):
            await self._maintenance.release_lease(lease, self._owner)


def _parse(position: str) -> SweepPosition:
    """Return the position that a name stands for; an unknown name is the beginning."""
    return SweepPosition(_POSITIONS.index(position) if position in _POSITIONS else 0)


def _passed(position: SweepPosition) -> str:
    """Return the name of what a sweep was at when it ended at this position."""
    return f"shard {SHARDS[position.shard - 1]}" if position.shard else "the end of a round"
