"""The thumbnail store in memory, for tests and trials: its content ends with the process."""

from collections.abc import AsyncIterator

from pixyproxy.adapters.memory.storage import InMemory
from pixyproxy.domain.errors import BlobStoreFullError
from pixyproxy.ports.blob_store import require_canonical_guid
from pixyproxy.ports.thumbnail_store import ThumbnailStore, require_thumbnail_name

Thumbnails = dict[tuple[str, str], bytes]
"""Thumbnails by GUID and name."""


class MemoryThumbnailStore(InMemory, ThumbnailStore):
    """A dictionary of thumbnails, which several stores may share.

    `capacity_bytes` is the room for all of them together, None for no limit.
    """

    def __init__(self, storage: Thumbnails | None = None, *, capacity_bytes: int | None = None) -> None:
        self._storage = {} if storage is None else storage
        self._capacity_bytes = capacity_bytes

    async def get(self, guid: str, name: str) -> bytes | None:
        return self._storage.get(_key(guid, name))

    async def put(self, guid: str, name: str, data: bytes) -> None:
        key = _key(guid, name)
        used = sum(map(len, self._storage.values())) - len(self._storage.get(key, b""))
        if self._capacity_bytes is not None and used + len(data) > self._capacity_bytes:
            raise BlobStoreFullError("No space is left in the blob store.")
        self._storage[key] = data

    async def delete(self, guid: str) -> None:
        require_canonical_guid(guid)
        for key in [key for key in self._storage if key[0] == guid]:
            del self._storage[key]

    async def walk(self, prefix: str = "") -> AsyncIterator[str]:
        for guid in {guid for guid, _ in self._storage if guid.startswith(prefix)}:
            yield guid


def _key(guid: str, name: str) -> tuple[str, str]:
    require_canonical_guid(guid)
    require_thumbnail_name(name)
    return guid, name
