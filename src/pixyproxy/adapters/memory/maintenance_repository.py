"""Leases, surveys and restoring of images in memory."""

from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from pixyproxy.adapters.memory.storage import MemoryRepository
from pixyproxy.domain.generation import QueuedCall
from pixyproxy.domain.image import UNDER_WAY, Image, Status
from pixyproxy.domain.money.charges import Charge
from pixyproxy.ports.maintenance_repository import COUNT_LIMIT, MaintenanceRepository, RowSummary, StoreIdentity, Totals


class MemoryMaintenanceRepository(MemoryRepository, MaintenanceRepository):
    """Looks after the images in a storage object."""

    async def renew_leases(self, owner: str, until: datetime) -> int:
        """Extend the leases; none gets shorter."""
        leases = self._storage.leases
        own = [image.guid for image in self._leased() if leases.get(image.guid, (None,))[0] == owner]
        for guid in own:
            leases[guid] = (owner, max(leases[guid][1], until))
        return len(own)

    async def lease_owners(self) -> frozenset[str]:
        leases = self._storage.leases
        return frozenset(leases[image.guid][0] for image in self._leased() if image.guid in leases)

    async def end_leases(self, owner: str, at: datetime) -> None:
        for image in self._leased():
            holder, until = self._storage.leases.get(image.guid, ("", at))
            if holder == owner and until > at:
                self._storage.leases[image.guid] = (owner, at)

    async def leave_queue(self, owner: str) -> None:
        for image in self._leased():
            if image.status is Status.QUEUED and self._storage.leases.get(image.guid, ("",))[0] == owner:
                del self._storage.leases[image.guid]

    async def expired(self, now: datetime, limit: int) -> tuple[Image, ...]:
        return self._expired(Status.GENERATING, now, limit)

    async def expired_in_queue(self, now: datetime, limit: int) -> tuple[Image, ...]:
        return self._expired(Status.QUEUED, now, limit)

    async def queued_call(self, guid: str) -> QueuedCall | None:
        image = self._storage.images.get(guid)
        return None if image is None or image.status is not Status.QUEUED else self._storage.queued_calls.get(guid)

    async def queued_before(self, image_id: int) -> int:
        return sum(image.status is Status.QUEUED and image.id < image_id for image in self._leased())

    async def take_over(self, guid: str, owner: str, now: datetime, until: datetime) -> bool:
        image = self._storage.images.get(guid)
        if image is None or image.status not in UNDER_WAY or not self._is_free(guid, now):
            return False
        self._storage.leases[guid] = (owner, until)
        return True

    async def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        lease = self._storage.named_leases.get(name)
        if lease is not None and lease[0] != owner and lease[1] >= now:
            return False
        self._storage.named_leases[name] = (owner, until)
        return True

    async def release_lease(self, name: str, owner: str) -> None:
        if self._storage.named_leases.get(name, ("",))[0] == owner:
            del self._storage.named_leases[name]

    async def lease_position(self, name: str) -> str:
        return self._storage.lease_positions.get(name, "")

    async def save_lease_position(self, name: str, owner: str, position: str) -> None:
        if self._storage.named_leases.get(name, ("",))[0] == owner:
            self._storage.lease_positions[name] = position

    async def statuses(self, guids: Collection[str]) -> dict[str, Status]:
        images = self._storage.images
        return {guid: images[guid].status for guid in guids if guid in images}

    async def count(self, status: Status) -> int:
        return min(COUNT_LIMIT, sum(image.status == status for image in self._storage.images.values()))

    async def walk(self, after_id: int, limit: int) -> tuple[Image, ...]:
        return tuple(islice((image for image in self._storage.images.values() if image.id > after_id), limit))

    async def summaries(self, prefix: str, after: str, limit: int) -> tuple[RowSummary, ...]:
        images = self._storage.images
        guids = sorted(guid for guid in images if guid.startswith(prefix) and guid > after)[:limit]
        return tuple(map(_summary, map(images.__getitem__, guids)))

    async def totals(self) -> Totals:
        ready = [image for image in self._storage.images.values() if image.status is Status.READY]
        sizes = [0 if image.result is None else image.result.size_bytes for image in ready]
        return Totals(len(sizes), sum(sizes))

    async def newest(self, limit: int) -> tuple[Image, ...]:
        return self._newest_of(Status.READY, limit)

    async def uncertain(self, limit: int) -> tuple[Image, ...]:
        return self._newest_of(Status.UNKNOWN, limit)

    def _newest_of(self, status: Status, limit: int) -> tuple[Image, ...]:
        found = [image for image in self._storage.images.values() if image.status is status]
        return tuple(found[::-1][:limit])

    async def identity(self) -> StoreIdentity | None:
        return self._storage.identity

    async def save_identity(self, identity: StoreIdentity) -> None:
        self._storage.identity = identity

    async def restore_all(self, images: Sequence[Image]) -> tuple[bool, ...]:
        return tuple(self._restore(image) for image in images)

    def _restore(self, image: Image) -> bool:
        """Store the image under the next id, without the lease and claim of an earlier image with its GUID."""
        if image.guid in self._storage.images:
            return False
        self._storage.leases.pop(image.guid, None)
        self._storage.claims.pop(image.guid, None)
        self._storage.callers_left.pop(image.guid, None)
        self._storage.last_id += 1
        image = deepcopy(image)
        if (charge := Charge.restored(image)) is not None:
            self._storage.charges.setdefault(image.guid, charge)
        request = replace(image.request, created_at=image.request.created_at.astimezone(UTC))
        self._storage.images[image.guid] = replace(
            image, id=self._storage.last_id, request=request, updated_at=image.updated_at.astimezone(UTC)
        )
        return True

    def _leased(self) -> Iterator[Image]:
        return (image for image in self._storage.images.values() if image.status in UNDER_WAY)

    def _expired(self, status: Status, now: datetime, limit: int) -> tuple[Image, ...]:
        free = (image for image in self._leased() if image.status is status and self._is_free(image.guid, now))
        return tuple(islice(free, limit))

    def _is_free(self, guid: str, now: datetime) -> bool:
        lease = self._storage.leases.get(guid)
        return lease is None or lease[1] < now


def _summary(image: Image) -> RowSummary:
    return RowSummary(image.guid, image.status, None if image.result is None else image.result.size_bytes)
