"""Maintenance of the blob store in a bucket: it is listed, verified and put in order."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import datetime
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from pixyproxy.adapters.s3 import reader
from pixyproxy.adapters.s3.bucket import Bucket, S3Location, StoredObject
from pixyproxy.adapters.s3.keys import (
    image_key,
    is_shard,
    parse_stored,
    quarantine_key,
    sidecar_key,
)
from pixyproxy.adapters.s3.rescue import Rescue, Rescued
from pixyproxy.adapters.s3.writer import Placed, S3Writer, describe, document_of
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError
from pixyproxy.ports.blob_maintenance import BlobMaintenance, FileAccess, StoredBlob
from pixyproxy.ports.blob_store import require_canonical_guid

_AT_ONCE = 16
"""Requests of one method at a time."""
_LISTING = "list its pictures"
_LOOKING_UP = "look up pictures"
_MOVING = "quarantine a picture"
_ADOPTING = "adopt a rescued picture"

_T = TypeVar("_T")


class S3BlobMaintenance(BlobMaintenance):
    """Maintains the bucket of an `S3BlobStore`, which has the same `location` and `rescue`.

    Quarantined objects are at `quarantine/GUID/<time>-<hash>.bin` and `.json`. S3 has no half-written objects.
    """

    def __init__(self, location: S3Location, rescue: Rescue) -> None:
        self._bucket = Bucket(location)
        self._writer = S3Writer(self._bucket)
        self._rescue = rescue
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> None:
        """Make sure that the bucket can be reached; raises BlobStoreError if not."""
        await self._rescue.open()
        await self._bucket.open()

    async def close(self) -> None:
        await self._bucket.close()
        await self._rescue.close()

    async def walk(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """Yield everything stored, one list per first two digits; the pictures of one list are in memory at a time."""
        await self._bucket.require_present()
        for shard in [prefix] if prefix else filter(is_shard, await self._bucket.folders(None, _LISTING)):
            found: dict[str, StoredBlob] = {}
            async for key, stored in self._bucket.objects(shard, _LISTING):
                if (parsed := parse_stored(key)) is not None:
                    guid, suffix = parsed
                    before = found.get(guid, StoredBlob(guid, None, stored.modified_at))
                    size = stored.size if suffix == "bin" else before.size
                    found[guid] = StoredBlob(guid, size, max(before.modified_at, stored.modified_at))
            for blob in found.values():
                yield blob

    async def verify(self, guid: str, *, size: int, sha256: str) -> None:
        require_canonical_guid(guid)
        await reader.require_checksum(self._bucket, guid, size, sha256)

    async def make_durable(self, guid: str) -> None:
        """Check only that there are bytes: what S3 has acknowledged is durable."""
        if guid not in await self.sizes([guid]):
            raise BlobMissingError("The picture is not in the blob store.")

    async def sizes(self, guids: Collection[str]) -> dict[str, int]:
        keys = {guid: image_key(guid) for guid in guids}
        found = await _each(keys, lambda guid: self._bucket.find(keys[guid], _LOOKING_UP))
        if len(found) == 0 or None in found.values():
            await self._bucket.require_present()
        return {guid: stored.size for guid, stored in found.items() if stored is not None}

    async def sidecars(self, guids: Collection[str]) -> dict[str, dict[str, Any] | BlobStoreError]:
        return await _each(guids, self._sidecar)

    async def rescued(self) -> frozenset[str]:
        pictures = await self._rescue.pictures()
        await self._bucket.require_present()
        return frozenset([picture.guid for picture in pictures if await self._fits(picture)])

    async def adopt_rescued(self, guid: str) -> bool:
        require_canonical_guid(guid)
        async with self._lock(guid):
            pictures = await self._rescue.pictures(guid)
            await self._bucket.require_present()
            for picture in pictures:
                if await self._put_in_place(picture):
                    await self._rescue.remove(guid, picture.sha256, picture.sidecar)
                    return True
            return False

    async def rescued_responses(self) -> frozenset[str]:
        return await self._rescue.response_guids()

    async def read_rescued_responses(self, guid: str) -> tuple[bytes, ...]:
        require_canonical_guid(guid)
        return await self._rescue.read_responses(guid)

    async def quarantine(self, guid: str) -> str:
        require_canonical_guid(guid)
        await self._bucket.require_present()
        async with self._lock(guid):
            location = await self._quarantine(guid)
        if location is None:
            await self._bucket.require_present()
            raise BlobMissingError("The blob store has neither bytes nor sidecar of the picture.")
        return location

    async def inspect_access(self, *, apply: bool = False, deep: bool = True) -> FileAccess:
        """Return that nothing is wrong: the bucket's policy decides who may read it."""
        await self._bucket.require_present()
        return FileAccess()

    async def quarantine_debris(self, older_than: datetime, prefix: str = "") -> int:
        """Return 0: S3 stores an object whole or not at all."""
        if older_than.tzinfo is None:
            raise ValueError("a time without a time zone")
        await self._bucket.require_present()
        return 0

    async def _sidecar(self, guid: str) -> dict[str, Any] | BlobStoreError:
        try:
            return await reader.read_sidecar(self._bucket, guid)
        except (BlobMissingError, BlobCorruptError) as error:
            return error

    async def _fits(self, picture: Rescued) -> bool:
        """Return whether the place is free, or holds these very bytes, as after an interrupted move."""
        found = await self._bucket.find(image_key(picture.guid), _ADOPTING)
        return found is None or await self._is_in_place(picture, found)

    async def _is_in_place(self, picture: Rescued, found: StoredObject) -> bool:
        sidecar = await self._bucket.read(sidecar_key(picture.guid), _ADOPTING)
        if sidecar not in (None, picture.sidecar) or found.size != picture.size:
            return False
        try:
            await reader.require_checksum(self._bucket, picture.guid, picture.size, picture.sha256)
        except BlobCorruptError:
            return False
        return True

    async def _put_in_place(self, picture: Rescued) -> bool:
        guid = picture.guid
        found = await self._bucket.find(image_key(guid), _ADOPTING)
        if found is not None:
            if not await self._is_in_place(picture, found):
                return False
        else:
            data = await self._rescue.read(guid, picture.sha256)
            if data is None or hashlib.sha256(data).hexdigest() != picture.sha256.lower():
                return False
            if await self._bucket.read(sidecar_key(guid), _ADOPTING) not in (None, picture.sidecar):
                await self._quarantine(guid)
            attributes = describe(document_of(picture.sidecar), picture.sha256.lower())
            if await self._writer.create(guid, data, attributes) is Placed.OTHER:
                return False
        await self._writer.put_sidecar(guid, picture.sidecar)
        return True

    async def _quarantine(self, guid: str) -> str | None:
        """Copy bytes and sidecar under one name and remove them; return the location, None if there are none.

        Bytes go before their sidecar: an interruption in between leaves a sidecar alone, which is found later. The name
        is made from the object, so that another process that moves it at the same time makes no second copy.
        """
        stem, moved = "", []
        for key, suffix in ((image_key(guid), "bin"), (sidecar_key(guid), "json")):
            source = await self._bucket.find(key, _MOVING)
            if source is None:
                continue
            stem = stem or _name_of(source)
            target = quarantine_key(guid, stem, suffix)
            if not await self._bucket.copy(key, target, _MOVING):
                continue
            copied = await self._bucket.find(target, _MOVING)
            if copied is None or copied.size != source.size:
                # S3 may report a failed copy after it has begun to answer with success.
                raise BlobStoreError("The blob store cannot quarantine a picture: S3 has not copied it as a whole.")
            await self._bucket.delete(key, action=_MOVING)
            moved.append(target)
        return moved[0] if moved else None

    def _lock(self, guid: str) -> asyncio.Lock:
        return self._locks.setdefault(guid, asyncio.Lock())


def _name_of(stored: StoredObject) -> str:
    """Return a name that no other upload has: its time, and digits of a hash."""
    digest = hashlib.sha256(repr(stored.version).encode()).hexdigest()
    return f"{stored.modified_at:%Y%m%dT%H%M%SZ}-{digest[:16]}"


async def _each(guids: Collection[str], function: Callable[[str], Awaitable[_T]]) -> dict[str, _T]:
    """Return the results of an asynchronous function for each GUID, a bounded number of calls at a time."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def call(guid: str) -> _T:
        async with places:
            return await function(guid)

    unique = list(dict.fromkeys(guids))
    return dict(zip(unique, await asyncio.gather(*map(call, unique)), strict=True))
