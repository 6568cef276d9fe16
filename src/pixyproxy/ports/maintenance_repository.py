"""The port for leases, surveys of all images, and restoring images into a database."""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.resource import Resource


class Totals(NamedTuple):
    """A number of images and of their bytes."""

    images: int
    size_bytes: int


class MaintenanceRepository(Resource):
    """Looks after the records of `ImageRepository`, with the same transactions, outages and durability.

    A row's lease names the process that works on a `generating` row and the time until which no other may settle it.
    """

    @abstractmethod
    async def renew_leases(self, owner: str, until: datetime) -> int:
        """Extend the leases of this owner's rows that are still `generating`; return how many there are."""

    @abstractmethod
    async def expired(self, now: datetime, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` `generating` rows whose lease ended before `now` or is missing, oldest first."""

    @abstractmethod
    async def take_over(self, guid: str, owner: str, now: datetime, until: datetime) -> bool:
        """Take the lease of a `generating` row if it ended before `now`; of several that try at once, one succeeds.

        Return False if the row does not exist, is settled, or has a lease that runs.
        """

    @abstractmethod
    async def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Take the named lease if it is free or ended before `now`, or renew it; return whether this owner has it now.

        Of several owners that try at once, one succeeds. A named lease belongs to no image: it lets one process at a
        time do a task. `name` has at most 64 ASCII letters, digits, `-` and `_`.
        """

    @abstractmethod
    async def release_lease(self, name: str, owner: str) -> None:
        """Make the named lease free if this owner has it; else change nothing."""

    @abstractmethod
    async def statuses(self, guids: Collection[str]) -> dict[str, Status]:
        """Return the status of each of these GUIDs (at most 1,000) for which there is a row."""

    @abstractmethod
    async def walk(self, after_id: int, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` rows with a higher id, lowest first; starting after 0, the pages cover all rows."""

    @abstractmethod
    async def totals(self) -> Totals:
        """Return the number of `ready` rows and of their bytes; may take seconds with millions."""

    @abstractmethod
    async def restore(self, image: Image) -> bool:
        """Add a row with everything but its `id`, which is new; return False, changing nothing, if the GUID exists."""
