"""The port through which a blob store is searched, verified and put in order."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime

from pixyproxy.ports.resource import Resource


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What lies in the store under a guid: its length in bytes (None: a sidecar alone), and when it last changed."""

    guid: str
    size: int | None
    modified_at: datetime


class BlobMaintenance(Resource):
    """The contents of a `BlobStore`, seen by those who look after them. Nothing here ever deletes, but derivatives.

    Every method raises BlobStoreError when the store cannot be reached, and ValueError for a guid that is
    not in canonical form.
    """

    @abstractmethod
    def walk(self) -> AsyncIterator[StoredBlob]:
        """Everything stored, each guid once, in no particular order; what comes or goes meanwhile may be missed."""

    @abstractmethod
    async def verify(self, guid: str, *, size: int, sha256: str) -> None:
        """Read all bytes and return if they have this length and this sha256 (hexadecimal).

        Raises BlobMissingError if there are none, BlobCorruptError if they are others or the medium has lost them.
        """

    @abstractmethod
    async def make_durable(self, guid: str) -> None:
        """See to it that stored bytes and sidecar survive a crash of the machine, as after a `put` that returned.

        For what an interrupted `put` left in its place: it may not be flushed. Raises BlobMissingError if
        there are no bytes.
        """

    @abstractmethod
    async def sizes(self, guids: Collection[str]) -> dict[str, int]:
        """The length in bytes of each of these guids (at most 1,000) for which there are bytes."""

    @abstractmethod
    async def rescued(self) -> frozenset[str]:
        """The guids for which bytes are kept aside that `adopt_rescued` would take."""

    @abstractmethod
    async def adopt_rescued(self, guid: str) -> bool:
        """Put bytes that were kept aside for this guid into their place, durably, with their sidecar.

        Only what agrees with its own sidecar in length and sha256 is taken, and only if there are no bytes
        in the place; True if some were put there. What was kept aside moves there: it is not there twice.
        A move that was interrupted, so that the same bytes are in both places, is offered again by
        `rescued` and finished here: True too.
        """

    @abstractmethod
    async def quarantine(self, guid: str) -> str:
        """Move bytes and sidecar, durably, to where they are not served or walked, and say where.

        Raises BlobMissingError if there is neither.
        """

    @abstractmethod
    def walk_derivatives(self) -> AsyncIterator[str]:
        """The guids that have derivatives, each once, in no particular order, also those without bytes."""

    @abstractmethod
    async def drop_derivatives(self, guid: str) -> None:
        """Delete all derivatives of this guid, and nothing else; it is no error if there are none."""

    @abstractmethod
    async def quarantine_debris(self, older_than: datetime) -> int:
        """Move half-written files that have not changed since then to the same place; return how many."""
