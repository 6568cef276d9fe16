"""The meaning of a request without a key that is identical to an earlier one whose outcome nobody has.

Many clients repeat a request by themselves after a time-out or an error, whatever the error says. Such a repeat joins
its predecessor while that is uncertain: it may have been paid for, and its caller does not have the picture.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from pixyproxy.application.generation.callers import Departures
from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.generation import IdempotencyClaim, Lease, Predecessor
from pixyproxy.domain.image import SETTLED, Image, Status
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.process_monitor import ProcessMonitor

WINDOW = timedelta(seconds=60)
"""Time after the end of a generation during which it is uncertain."""
_LONGEST_CALL = timedelta(days=1)
"""Time between the departure of a caller and the end of the generation at most."""


class Predecessors(NamedTuple):
    """The uncertain image to join, if there is one, and whether identical requests run whose callers seem to wait."""

    uncertain: Image | None = None
    others_run: bool = False


class UncertainSubmissions:
    """Finds the uncertain predecessor of a request without a key."""

    def __init__(
        self,
        images: ImageRepository,
        departures: Departures,
        processes: ProcessMonitor,
        clock: Clock,
        *,
        lease_s: float,
    ) -> None:
        self._images = images
        self._departures = departures
        self._processes = processes
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)

    async def find(self, claim: IdempotencyClaim) -> Predecessors:
        """Return the uncertain predecessor of a request: one with a picture before one without, then the newest."""
        now = self._clock.now()
        found = await self._images.predecessors(
            claim.caller, claim.fingerprint, ended_since=now - WINDOW, left_since=now - _LONGEST_CALL
        )
        uncertain = [predecessor for predecessor in found if await self._is_uncertain(predecessor, now)]
        others_run = any(one.status not in SETTLED for one in found)
        if not uncertain:
            return Predecessors(None, others_run)
        best = max(reversed(uncertain), key=_preference)
        try:
            return Predecessors(await self._images.get(best.guid))
        except ImageNotFoundError:
            return Predecessors(None, others_run)  # deleted a moment ago

    async def _is_uncertain(self, predecessor: Predecessor, now: datetime) -> bool:
        left = predecessor.caller_left_at is not None or self._departures.was_left(predecessor.guid)
        if predecessor.status is Status.READY and predecessor.lease is not None:
            # The process that owed the answer may have been killed just before it was sent.
            left = left or self._is_dead(predecessor.lease, now)
        if predecessor.status not in SETTLED:
            return left or self._is_dead(predecessor.lease, now)
        statuses: Collection[Status] = {predecessor.status}
        ended_at = predecessor.updated_at
        if predecessor.batch is not None:
            # The pictures of one call are one outcome.
            call = await self._images.batch(predecessor.batch)
            statuses = {image.status for image in call}
            ended_at = max((image.updated_at for image in call), default=ended_at)
        if not SETTLED.issuperset(statuses):
            return left
        if ended_at + WINDOW <= now:
            return False
        # Without a picture and unknown, or with one that its caller did not get; failed is surely unpaid.
        return (Status.UNKNOWN in statuses and Status.READY not in statuses) or (left and Status.READY in statuses)

    def _is_dead(self, lease: Lease | None, now: datetime) -> bool:
        """Return True if the owner of a lease has ended; of another host, if it renewed nothing for half the lease."""
        if lease is None:
            return True
        is_alive = self._processes.is_alive(lease.owner)
        return lease.expires_at - self._lease / 2 < now if is_alive is None else not is_alive


def how_to_insist(ended_at: datetime, now: datetime) -> str:
    """Return the sentence of an error that says how to pay for another call in spite of it."""
    insist = "To have another picture made and paid for, send the request with a new Idempotency-Key."
    if ended_at + WINDOW <= now:
        return insist
    until = (ended_at + WINDOW + timedelta(seconds=1)).replace(microsecond=0)
    return f"{insist} Without one, the same request gets this outcome until {until:%Y-%m-%dT%H:%M:%SZ}."


def _preference(predecessor: Predecessor) -> int:
    """Return a number that is higher for a picture than for one that may come, and lowest for none."""
    return 2 if predecessor.status is Status.READY else 0 if predecessor.status in SETTLED else 1
