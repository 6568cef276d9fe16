"""The blob store in a bucket of an S3 server."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

from pixyproxy.adapters.s3 import reader
from pixyproxy.adapters.s3.bucket import Bucket, S3Location
from pixyproxy.adapters.s3.keys import image_key
from pixyproxy.adapters.s3.rescue import Rescue
from pixyproxy.adapters.s3.writer import MAX_PICTURE_BYTES, S3Writer, describe, encode_sidecar, sha256_of
from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.ports.blob_store import BlobReader, BlobStore, require_canonical_guid

ADDRESS_S = 60.0
"""Seconds for which a signed address is valid."""
_PROBE_S = 15.0
"""Seconds for which a successful `check_writable` says that the bucket takes pictures."""
_PROBING = "store a picture"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class S3BlobStore(BlobStore):
    """A bucket with `ab/cd/GUID.bin` and `ab/cd/GUID.json` of each image.

    `rescue` keeps what the bucket does not take. With `signs_addresses` clients are sent to S3 for the bytes.
    """

    def __init__(self, location: S3Location, rescue: Rescue, *, signs_addresses: bool = False) -> None:
        self._bucket = Bucket(location)
        self._writer = S3Writer(self._bucket)
        self._rescue = rescue
        self._signs_addresses = signs_addresses
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._writes: set[asyncio.Task[Any]] = set()
        self._writable_until = 0.0

    async def open(self) -> None:
        """Make sure that the bucket can be reached; raises BlobStoreError if not, and never creates it."""
        await self._rescue.open()
        await self._bucket.open()

    async def close(self) -> None:
        """Wait for writes under way, and let go of all connections."""
        self._writable_until = 0.0
        while self._writes:
            await asyncio.wait(tuple(self._writes))
        await self._bucket.close()
        await self._rescue.close()

    async def identity(self) -> str | None:
        return await self._bucket.read_identity()

    async def set_identity(self, identity: str) -> None:
        await self._bucket.write_identity(identity)

    async def check_writable(self) -> None:
        """Store an object and remove it, unless that succeeded a moment ago; the bucket may have been exchanged."""
        await self._bucket.require_present()
        if self._writable_until < time.monotonic():
            key = f"probe/{uuid4()}"
            await self._bucket.put(key, b"probe", {"Content-Type": "text/plain"}, _PROBING)
            await self._bucket.delete(key, action=_PROBING)
            self._writable_until = time.monotonic() + _PROBE_S

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        require_canonical_guid(guid)
        text = encode_sidecar(sidecar)
        if len(data) > MAX_PICTURE_BYTES:
            raise BlobStoreError(
                f"The blob store cannot store a picture: it has {len(data)} bytes, and one on S3 may have at most "
                f"{MAX_PICTURE_BYTES}."
            )
        attributes = describe(sidecar, await sha256_of(data))
        await self._in_order(guid, self._put(guid, data, text, attributes))

    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store the bytes on this machine, and return the path of the file, which only the operator may see."""
        require_canonical_guid(guid)
        return await self._rescue.store(guid, data, sidecar)

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        require_canonical_guid(guid)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise ValueError("the range is not within the size")
        return await reader.open_image(self._bucket, guid, size, start, stop)

    async def address(self, guid: str, *, size: int) -> str | None:
        require_canonical_guid(guid)
        if not self._signs_addresses:
            return None
        await reader.require_image(self._bucket, guid, size)
        return await self._bucket.sign(image_key(guid), ADDRESS_S)

    async def read_sidecar(self, guid: str) -> dict[str, Any]:
        return await reader.read_sidecar(self._bucket, guid)

    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        require_canonical_guid(guid)
        await self._in_order(guid, self._writer.replace_sidecar(guid, encode_sidecar(sidecar)))

    async def delete(self, guid: str) -> None:
        require_canonical_guid(guid)
        await self._in_order(guid, self._writer.delete(guid))

    async def _put(self, guid: str, data: bytes, sidecar: bytes, attributes: Mapping[str, str]) -> None:
        await self._bucket.require_present()
        await self._writer.put(guid, data, sidecar, attributes)

    async def _in_order(self, guid: str, write: Coroutine[Any, Any, _T]) -> _T:
        """Run a write of an image once the earlier ones have ended; it goes on if the caller is cancelled.

        Two that interleave could leave the sidecar of one with the bytes of the other.
        """
        task = asyncio.create_task(self._run_locked(guid, write))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def _run_locked(self, guid: str, write: Coroutine[Any, Any, _T]) -> _T:
        async with self._locks.setdefault(guid, asyncio.Lock()):
            return await write


def _log_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a write failed after its caller had gone: %s", error)
