"""The blob store in memory, for tests and trials: its content ends with the process."""

import json
from collections.abc import Hashable, Mapping
from typing import Any

from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreFullError
from pixyproxy.ports.blob_store import BlobReader, BlobStore, require_canonical_guid

_WHOLE = 2 * 1024 * 1024
_PIECE = 512 * 1024
Stored = tuple[bytes | None, str | None]
"""Bytes and sidecar, each None if it is lost."""


class MemoryBlobReader(BlobReader):
    """A range of bytes, returned in pieces."""

    def __init__(self, data: bytes, version: Hashable) -> None:
        self._version = version
        self._rest = data
        self._piece_bytes = len(data) if len(data) <= _WHOLE else _PIECE

    @property
    def version(self) -> Hashable:
        return self._version

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        piece, self._rest = self._rest[: self._piece_bytes], self._rest[self._piece_bytes :]
        return piece

    async def close(self) -> None:
        self._rest = b""


class MemoryBlobStore(BlobStore):
    """A dictionary with bytes and sidecar (as JSON text) under each GUID, which several stores may share.

    Rescued bytes are under `aside/GUID.1` and so on. `capacity_bytes` is the room for all bytes, None for no limit.
    """

    def __init__(self, storage: dict[str, Stored] | None = None, *, capacity_bytes: int | None = None) -> None:
        self._storage = {} if storage is None else storage
        self._versions: dict[str, tuple[bytes, int]] = {}
        self._last_version = 0
        self._capacity_bytes = capacity_bytes

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Do nothing: what is stored stays for as long as the object does."""

    async def check_writable(self) -> None:
        self._require_room(1)

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        text = _encode(sidecar)
        self._require_room(len(data) - len(self._find(guid)[0] or b""))
        self._storage[guid] = (data, text)

    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store the bytes whatever the capacity is: they are in memory already."""
        require_canonical_guid(guid)
        text = _encode(sidecar)
        number = 1
        while (key := f"aside/{guid}.{number}") in self._storage:
            number += 1
        self._storage[key] = (data, text)
        return f"memory:{key}"

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        data, _ = self._find(guid)
        if data is None:
            raise BlobMissingError("The picture is not in the blob store.")
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise ValueError("the range is not within the size")
        if len(data) != size:
            raise BlobCorruptError("The stored picture does not have the length that was recorded.")
        return MemoryBlobReader(data[start:stop], self._version(guid, data))

    async def read_sidecar(self, guid: str) -> dict[str, Any]:
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

    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        data, _ = self._find(guid)
        if data is None:
            raise BlobMissingError("The picture is not in the blob store.")
        text = _encode(sidecar)
        self._require_room(1)
        self._storage[guid] = (data, text)

    async def delete(self, guid: str) -> None:
        require_canonical_guid(guid)
        self._storage.pop(guid, None)
        self._versions.pop(guid, None)

    def _find(self, guid: str) -> Stored:
        require_canonical_guid(guid)
        return self._storage.get(guid, (None, None))

    def _version(self, guid: str, data: bytes) -> int:
        """Return a number for these very bytes; other bytes are another object, because bytes cannot change."""
        if guid not in self._versions or self._versions[guid][0] is not data:
            self._last_version += 1
            self._versions[guid] = (data, self._last_version)
        return self._versions[guid][1]

    def _require_room(self, more: int) -> None:
        if self._capacity_bytes is None:
            return
        used = sum(len(data or b"") for data, _ in self._storage.values())
        if used + more > self._capacity_bytes:
            raise BlobStoreFullError("No space is left in the blob store.")


def _encode(sidecar: Mapping[str, Any]) -> str:
    """Return the sidecar as JSON text, so that this store refuses what the others refuse."""
    return json.dumps(sidecar, default=_to_dict, allow_nan=False)


def _to_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a sidecar cannot hold {type(value).__name__}")
