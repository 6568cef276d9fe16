"""The port through which a blob store is scanned, verified and put in order."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.ports.resource import Resource


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """An entry of the store: GUID, length of the bytes (None: a sidecar alone) and time of the last change."""

    guid: str
    size: int | None
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class FileAccess:
    """The files and folders that more, or other, users may read than new ones; `refused` could not be changed."""

    wrong: int = 0
    refused: int = 0


class BlobMaintenance(Resource):
    """Maintenance of the contents of a `BlobStore`. Nothing is ever deleted.

    Every method raises BlobStoreError when the store cannot be reached, and ValueError for a GUID that is not in
    canonical form.
    """

    @abstractmethod
    def walk(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """Yield everything stored whose GUID begins with `prefix`, each GUID once, in no particular order.

        `prefix` is empty or the first two digits. Blobs that are stored or removed meanwhile may be missed.
        """

    @abstractmethod
    async def verify(self, guid: str, *, size: int, sha256: str) -> None:
        """Read all bytes and return if they have this length and this SHA-256 (hexadecimal).

        Raises:
            BlobMissingError: there are no bytes.
            BlobCorruptError: the bytes differ, or the medium has lost them.
        """

    @abstractmethod
    async def make_durable(self, guid: str) -> None:
        """Make sure that stored bytes and sidecar survive a crash of the machine, as after a `put` that returned.

        An interrupted `put` may have left them in their place unflushed. Raises BlobMissingError if there are none.
        """

    @abstractmethod
    async def sizes(self, guids: Collection[str]) -> dict[str, int]:
        """Return the length in bytes of each of these GUIDs (at most 1,000) that has bytes."""

    @abstractmethod
    async def sidecars(self, guids: Collection[str]) -> dict[str, dict[str, Any] | BlobStoreError]:
        """Return the sidecar of each of these GUIDs (at most 1,000).

        In its place stands a BlobMissingError if there is none, a BlobCorruptError if it is not a JSON object or the
        medium has lost it.
        """

    @abstractmethod
    async def rescued(self) -> frozenset[str]:
        """Return the GUIDs for which there are rescued bytes that `adopt_rescued` would take."""

    @abstractmethod
    async def adopt_rescued(self, guid: str) -> bool:
        """Move rescued bytes of this GUID to their place, durably, with their sidecar; return whether it was done.

        Bytes are taken only if they agree with their own sidecar in length and SHA-256, and only if there are no
        bytes in the place. If an interrupted move left the same bytes in both places, `rescued` names the GUID again
        and this method finishes the move (True too).
        """

    @abstractmethod
    async def rescued_responses(self) -> frozenset[str]:
        """Return the GUIDs for which there are rescued bytes that are described as no picture."""

    @abstractmethod
    async def read_rescued_responses(self, guid: str) -> tuple[bytes, ...]:
        """Return the rescued bytes of this GUID that are described as no picture, in the order of their rescue."""

    @abstractmethod
    async def quarantine(self, guid: str) -> str:
        """Move bytes and sidecar, durably, to where they are neither served nor walked, and return the location.

        It raises BlobMissingError if there is neither.
        """

    async def inspect_access(self, *, apply: bool = False, deep: bool = True) -> FileAccess:
        """Count files and folders whose permissions or group are not those of new ones, and with `apply` correct them.

        Without `deep` only the outermost folders are looked at, which takes no time. A store without permissions of
        its own finds nothing.
        """
        return FileAccess()

    @abstractmethod
    async def quarantine_debris(self, older_than: datetime, prefix: str = "") -> int:
        """Quarantine half-written files that have not changed since then, and return how many there were.

        With two digits as `prefix`, those of other GUIDs are left where they are stored.
        """
