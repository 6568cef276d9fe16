"""The blob store in memory, for tests and trials: its content ends with the process."""

import json
from collections.abc import Hashable, Mapping
from itertools import count
from typing import Any

from pixyproxy.adapters.memory.storage import InMemory
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreFullError, StoreIdentityError
from pixyproxy.ports.blob_store import BlobReader, BlobStore, require_canonical_guid

_PIECE = 512 * 1024
_IDENTITY = "store/identity"
Stored = tuple[bytes | None, str | None]
"""Bytes and sidecar (as JSON text), each None if it is lost."""


class MemoryBlobReader(BlobReader):
    """A range of bytes, returned in pieces."""

    def __init__(self, data: bytes, version: Hashable) -> None:
        self._version = version
        self._rest = data

    @property
    def version(self) -> Hashable:
        return self._version

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:]
        return piece

    async def close(self) -> None:
        self._rest = b""


class MemoryBlobs(InMemory):
    """Base of blob store and maintenance: a dictionary under GUIDs, which both may share.

    Rescued and quarantined blobs are under `aside/GUID.1`, `quarantine/GUID.1` and so on.
    """

    def __init__(self, storage: dict[str, Stored] | None = None) -> None:
        self._storage = {} if storage is None else storage

    def _carried_identity(self) -> str | None:
        return self._storage.get(_IDENTITY, (None, None))[1]

    def _find(self, guid: str) -> Stored:
        require_canonical_guid(guid)
        return self._storage.get(guid, (None, None))

    def _bytes(self, guid: str) -> bytes:
        data, _ = self._find(guid)
        if data is None:
            raise BlobMissingError("The picture is not in the blob store.")
        return data

    def _sidecar(self, guid: str) -> dict[str, Any]:
        _, text = self._find(guid)
        if text is None:
            raise BlobMissingError("The description of the picture is not in the blob store.")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BlobCorruptError("The description stored with the picture is not JSON.") from error
        if not isinstance(document, dict):
            raise BlobCorruptError("The description stored with the picture is not a JSON object.")
        return document

    def _store_in(self, folder: str, guid: str, stored: Stored) -> str:
        """Store a blob under the first free number, and return the location."""
        key = next(key for number in count(1) if (key := f"{folder}/{guid}.{number}") not in self._storage)
        self._storage[key] = stored
        return f"memory:{key}"


class MemoryBlobStore(MemoryBlobs, BlobStore):
    """Stores blobs in a dictionary; `capacity_bytes` is the room for all bytes, None for no limit."""

    def __init__(self, storage: dict[str, Stored] | None = None, *, capacity_bytes: int | None = None) -> None:
        super().__init__(storage)
        self._versions: dict[str, tuple[bytes, int]] = {}
        self._last_version = 0
        self._capacity_bytes = capacity_bytes
        self._identity: str | None = None

    async def open(self) -> None:
        """Remember the identity that the store carries."""
        self._identity = self._carried_identity()

    @property
    def is_lasting(self) -> bool:
        return False

    async def identity(self) -> str | None:
        return self._carried_identity()

    async def set_identity(self, identity: str) -> None:
        require_canonical_guid(identity)
        if self._carried_identity() not in {None, identity}:
            raise StoreIdentityError("The blob store belongs to another database.")
        self._storage[_IDENTITY] = (None, identity)
        self._identity = identity

    async def check_writable(self) -> None:
        self._require_identity()
        self._require_room(1)

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        text = _encode(sidecar)
        self._require_identity()
        self._require_room(len(data) - len(self._find(guid)[0] or b""))
        self._storage[guid] = (data, text)

    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store the bytes whatever the capacity is: they are in memory already."""
        require_canonical_guid(guid)
        return self._store_in("aside", guid, (data, _encode(sidecar)))

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        data = self._bytes(guid)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise ValueError("the range is not within the size")
        if len(data) != size:
            raise BlobCorruptError("The stored picture does not have the length that was recorded.")
        return MemoryBlobReader(data[start:stop], self._version(guid, data))

    async def read_sidecar(self, guid: str) -> dict[str, Any]:
        try:
            return self._sidecar(guid)
        except BlobMissingError:
            self._require_identity()
            raise

    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        data = self._bytes(guid)
        text = _encode(sidecar)
        self._require_room(1)
        self._storage[guid] = (data, text)

    async def delete(self, guid: str) -> None:
        require_canonical_guid(guid)
        self._storage.pop(guid, None)
        self._versions.pop(guid, None)

    def _version(self, guid: str, data: bytes) -> int:
        """Return a number for these very bytes; other bytes are another object, because bytes cannot change."""
        if guid not in self._versions or self._versions[guid][0] is not data:
            self._last_version += 1
            self._versions[guid] = (data, self._last_version)
        return self._versions[guid][1]

    def _bytes(self, guid: str) -> bytes:
        try:
            return super()._bytes(guid)
        except BlobMissingError:
            self._require_identity()
            raise

    def _require_identity(self) -> None:
        if self._identity is not None and self._carried_identity() != self._identity:
            raise StoreIdentityError("The blob store no longer carries the identity of its database.")

    def _require_room(self, more: int) -> None:
        used = sum(len(data or b"") for data, _ in self._storage.values())
        if self._capacity_bytes is not None and used + more > self._capacity_bytes:
            raise BlobStoreFullError("No space is left in the blob store.")


def _encode(sidecar: Mapping[str, Any]) -> str:
    """Return the sidecar as JSON text, so that this store refuses what the others refuse."""
    return json.dumps(sidecar, default=dict, allow_nan=False)
