"""The port for leases, surveys of all images, restoring images, and the identity of the database."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pixyproxy.domain.generation import QueuedCall
from pixyproxy.domain.image import Image, Status
from pixyproxy.ports.resource import Resource

COUNT_LIMIT = 100_000
"""The number up to which rows are counted for a survey."""


class Totals(NamedTuple):
    """A number of images and of their bytes."""

    images: int
    size_bytes: int


class BindingState(StrEnum):
    """The progress of binding a blob store to a database."""

    BEGUN = "begun"
    """The identity is chosen; the blob store may carry it already."""
    REBUILDING = "rebuilding"
    """The database is being filled from the sidecars in the blob store."""
    COPYING = "copying"
    """The database is being filled with the rows of another one."""
    BOUND = "bound"
    """The blob store carries the identity: one that does not is another, or was emptied."""


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The identity of a database, a GUID, and the state of its binding to a blob store."""

    value: str
    state: BindingState


class RowSummary(NamedTuple):
    """The parts of a row that are compared with the blob store; `size_bytes` is None unless it is `ready`."""

    guid: str
    status: Status
    size_bytes: int | None


class MaintenanceRepository(Resource):
    """Looks after the records of `ImageRepository`, with the same transactions, outages and durability.

    A row's lease names the process that works on a `generating` row, or in whose queue a `queued` one waits, and the
    time until which no other may settle it or take it over.
    """

    @abstractmethod
    async def renew_leases(self, owner: str, until: datetime) -> int:
        """Extend the leases of this owner's rows that are `generating` or `queued`; return how many there are."""

    @abstractmethod
    async def lease_owners(self) -> frozenset[str]:
        """Return the owners of the leases of `generating` and `queued` rows."""

    @abstractmethod
    async def end_leases(self, owner: str, at: datetime) -> None:
        """Make the leases of this owner's `generating` and `queued` rows end at this time if they end later."""

    @abstractmethod
    async def leave_queue(self, owner: str) -> None:
        """Take the leases from this owner's `queued` rows, so that another process can take them over now."""

    @abstractmethod
    async def expired(self, now: datetime, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` `generating` rows whose lease ended before `now` or is missing, oldest first."""

    @abstractmethod
    async def expired_in_queue(self, now: datetime, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` `queued` rows whose lease ended before `now` or is missing, oldest first."""

    @abstractmethod
    async def queued_call(self, guid: str) -> QueuedCall | None:
        """Return the call that is kept with this `queued` row, or None if there is none."""

    @abstractmethod
    async def queued_before(self, image_id: int) -> int:
        """Return the number of `queued` rows with a lower id."""

    @abstractmethod
    async def take_over(self, guid: str, owner: str, now: datetime, until: datetime) -> bool:
        """Take the lease of a `generating` or `queued` row if it ended before `now`; of several at once, one succeeds.

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
    async def lease_position(self, name: str) -> str:
        """Return how far the task of a named lease has come, as it was saved last; empty if it never was."""

    @abstractmethod
    async def save_lease_position(self, name: str, owner: str, position: str) -> None:
        """Save the position, at most 64 ASCII characters, if this owner has the named lease; else change nothing."""

    @abstractmethod
    async def statuses(self, guids: Collection[str]) -> dict[str, Status]:
        """Return the status of each of these GUIDs (at most 1,000) for which there is a row."""

    @abstractmethod
    async def count(self, status: Status) -> int:
        """Return the number of rows of a status, or `COUNT_LIMIT` if there are more."""

    @abstractmethod
    async def walk(self, after_id: int, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` rows with a higher id, lowest first; starting after 0, the pages cover all rows."""

    @abstractmethod
    async def summaries(self, prefix: str, after: str, limit: int) -> tuple[RowSummary, ...]:
        """Return at most `limit` rows whose GUID begins with `prefix` and is greater than `after`, lowest first.

        Starting after "", the pages cover all rows of the prefix, which is one hexadecimal digit or more.
        """

    @abstractmethod
    async def totals(self) -> Totals:
        """Return the number of `ready` rows and of their bytes; may take seconds with millions."""

    @abstractmethod
    async def newest(self, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` rows that are `ready`, highest id first."""

    @abstractmethod
    async def uncertain(self, limit: int) -> tuple[Image, ...]:
        """Return at most `limit` rows that are `unknown`, highest id first."""

    @abstractmethod
    async def identity(self) -> StoreIdentity | None:
        """Return the identity of the database, or None if it was given none; a new database is not `bound`."""

    @abstractmethod
    async def save_identity(self, identity: StoreIdentity) -> None:
        """Replace the identity of the database."""

    @abstractmethod
    async def restore_all(self, images: Sequence[Image]) -> tuple[bool, ...]:
        """Add a row for each image (at most 500), with everything but its `id`; ids grow in this order.

        Return for each whether it was added; one whose GUID exists is not, and changes nothing. On an error nothing
        was added.
        """

    async def restore(self, image: Image) -> bool:
        """Add the row of one image, like `restore_all`."""
        (restored,) = await self.restore_all([image])
        return restored
