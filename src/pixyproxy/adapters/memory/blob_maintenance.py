"""Maintenance of the blob store in memory."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from typing import Any

from pixyproxy.adapters.memory.blob_store import MemoryBlobs, Stored
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError
from pixyproxy.ports.blob_maintenance import BlobMaintenance, StoredBlob

_NOTHING: Stored = (None, None)


def _system_time() -> datetime:
    return datetime.now(UTC)


class MemoryBlobMaintenance(MemoryBlobs, BlobMaintenance):
    """Maintains the dictionary of a `MemoryBlobStore`.

    A dictionary has no times: a blob's change time is the time `now` of the first walk that found its current bytes.
    """

    def __init__(self, storage: dict[str, Stored], *, now: Callable[[], datetime] = _system_time) -> None:
        super().__init__(storage)
        self._now = now
        self._found: dict[str, tuple[Stored, datetime]] = {}

    async def walk(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        now, found = self._now(), {}
        for key, stored in self._storage.items():
            if "/" not in key and stored != _NOTHING:
                before = self._found.get(key)
                found[key] = before if before is not None and before[0] is stored else (stored, now)
        self._found = found
        for guid, ((data, _), changed) in found.items():
            if guid.startswith(prefix):
                yield StoredBlob(guid, None if data is None else len(data), changed)

    async def verify(self, guid: str, *, size: int, sha256: str) -> None:
        data = self._bytes(guid)
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256.lower():
            raise BlobCorruptError("The stored picture does not have the length and hash that were recorded.")

    async def make_durable(self, guid: str) -> None:
        """Check only that there are bytes: nothing in memory survives a crash."""
        self._bytes(guid)

    async def sizes(self, guids: Collection[str]) -> dict[str, int]:
        found = {guid: self._find(guid)[0] for guid in guids}
        return {guid: len(data) for guid, data in found.items() if data is not None}

    async def sidecars(self, guids: Collection[str]) -> dict[str, dict[str, Any] | BlobStoreError]:
        found: dict[str, dict[str, Any] | BlobStoreError] = {}
        for guid in guids:
            try:
                found[guid] = self._sidecar(guid)
            except BlobStoreError as error:
                found[guid] = error
        return found

    async def rescued(self) -> frozenset[str]:
        guids = {key.removeprefix("aside/").partition(".")[0] for key in self._storage if key.startswith("aside/")}
        return frozenset(guid for guid in guids if self._adoptable(guid))

    async def adopt_rescued(self, guid: str) -> bool:
        data, text = self._find(guid)
        adoptable = self._adoptable(guid)
        if not adoptable:
            return False
        kept = self._storage[adoptable[0]]
        if data is None and text not in (None, kept[1]):
            await self.quarantine(guid)
        self._storage[guid] = kept
        for key in adoptable:
            if self._storage[key] == kept:
                del self._storage[key]
        return True

    async def rescued_responses(self) -> frozenset[str]:
        return frozenset(key.removeprefix("aside/").partition(".")[0] for key in self._response_keys("aside/"))

    async def read_rescued_responses(self, guid: str) -> tuple[bytes, ...]:
        keys = sorted(self._response_keys(f"aside/{guid}."), key=lambda key: int(key.rpartition(".")[2]))
        return tuple(data for key in keys if (data := self._storage[key][0]) is not None)

    async def quarantine(self, guid: str) -> str:
        stored = self._find(guid)
        if stored == _NOTHING:
            raise BlobMissingError("The blob store has neither bytes nor sidecar of the picture.")
        del self._storage[guid]
        return self._store_in("quarantine", guid, stored)

    async def quarantine_debris(self, older_than: datetime, prefix: str = "") -> int:
        """Return 0: nothing is ever half-written in memory."""
        if older_than.tzinfo is None:
            raise ValueError("a time without a time zone")
        return 0

    def _response_keys(self, prefix: str) -> list[str]:
        """Return the keys of rescued blobs whose sidecar describes no picture."""
        return [
            key
            for key, (_, text) in self._storage.items()
            if key.startswith(prefix) and text is not None and "sha256" not in json.loads(text)
        ]

    def _adoptable(self, guid: str) -> list[str]:
        """Return the keys of rescued blobs that are whole and agree with the stored blob, lower numbers first."""
        prefix = f"aside/{guid}."
        numbers = sorted(int(key.removeprefix(prefix)) for key in self._storage if key.startswith(prefix))
        data, text = self._find(guid)
        return [
            key
            for key in (f"{prefix}{number}" for number in numbers)
            if _is_whole(guid, *self._storage[key])
            and (data is None or (data == self._storage[key][0] and text in (None, self._storage[key][1])))
        ]


def _is_whole(guid: str, data: bytes | None, text: str | None) -> bool:
    """Return whether bytes are those that the sidecar with them describes."""
    if data is None or text is None:
        return False
    try:
        sidecar = json.loads(text)
        size, described = sidecar["size_bytes"], (sidecar["guid"], sidecar["sha256"].lower())
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return False
    # `type`, because JSON's `true` equals 1.
    return type(size) is int and size == len(data) and described == (guid, hashlib.sha256(data).hexdigest())
