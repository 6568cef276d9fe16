"""The port through which interrupted generations are found and settled, and a database is filled again."""

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
    """The records of `ImageRepository`, seen by those who look after them.

    A lease says which process works on a row `generating` and until when nobody else may settle it.
    Transactions, outages and durability are as `ImageRepository` says.
    """

    @abstractmethod
    async def renew_leases(self, owner: str, until: datetime) -> int:
        """Extend the leases of this owner's rows that are still `generating`; return how many there are."""

    @abstractmethod
    async def expired(self, now: datetime, limit: int) -> tuple[Image, ...]:
        """At most `limit` rows `generating` whose lease ended before `now`, or that have none, oldest first."""

    @abstractmethod
    async def take_over(self, guid: str, owner: str, now: datetime, until: datetime) -> bool:
        """Take the lease of a row `generating` if it ended before `now`; of several who try, one succeeds.

        False if the row is gone, is settled, or its lease runs.
        """

    @abstractmethod
    async def acquire_lease(self, name: str, owner: str, now: datetime, until: datetime) -> bool:
        """Take the named lease until `until` if it is free or ended before `now`, or renew it if this owner has it.

        Return whether this owner has it now; of several owners who try at once, one succeeds. A lease belongs to no
        image: it lets one process at a time do a task. `name` is at most 64 ASCII letters, digits, `-` and `_`.
        """

    @abstractmethod
    async def release_lease(self, name: str, owner: str) -> None:
        """Make the named lease free if this owner has it; else change nothing."""

    @abstractmethod
    async def statuses(self, guids: Collection[str]) -> dict[str, Status]:
        """The status of each of these guids (at most 1,000) for which there is a row."""

    @abstractmethod
    async def walk(self, after_id: int, limit: int) -> tuple[Image, ...]:
        """At most `limit` rows with a higher id, lowest first: all rows, page by page, starting after 0."""

    @abstractmethod
    async def totals(self) -> Totals:
        """How many `ready` rows there are and how many bytes they record; may take seconds with millions."""

    @abstractmethod
    async def restore(self, image: Image) -> bool:
        """Add a row with everything but its `id`, which is made anew; False, changing nothing, if the guid has one."""
