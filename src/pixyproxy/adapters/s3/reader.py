"""Reads of a store: the bytes of an image as they arrive, their checksum, and sidecars."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Hashable
from typing import Any

import obstore

from pixyproxy.adapters.s3.bucket import Bucket, StoredObject, stored_object
from pixyproxy.adapters.s3.error_translation import FAILURES, blob_error
from pixyproxy.adapters.s3.keys import image_key, sidecar_key
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError
from pixyproxy.ports.blob_store import BlobReader

_PIECE_BYTES = 512 * 1024
"""The least length of each piece of a longer range."""
_ACTION = "read a picture"


class S3BlobReader(BlobReader):
    """A range of an object, which arrives as fast as it is read."""

    def __init__(self, stream: AsyncIterator[bytes] | None, length: int, version: Hashable) -> None:
        self._stream = stream
        self._left = length
        self._version = version

    @property
    def version(self) -> Hashable:
        return self._version

    async def __anext__(self) -> bytes:
        while self._stream is not None and self._left > 0:
            try:
                piece = bytes(await anext(self._stream))
            except StopAsyncIteration:
                raise BlobCorruptError("The stored picture ends before its recorded length.") from None
            except FAILURES as error:
                raise blob_error(error, _ACTION) from error
            self._left -= len(piece)
            if piece:
                return piece
        await self.close()
        raise StopAsyncIteration

    async def close(self) -> None:
        """Let go of the response; its connection is closed if it has not arrived as a whole."""
        self._stream = None


async def open_image(bucket: Bucket, guid: str, size: int, start: int, stop: int) -> S3BlobReader:
    """Open a range of an image of `size` bytes; raises BlobMissingError or BlobCorruptError."""
    if start == stop:
        found = await require_image(bucket, guid, size)
        return S3BlobReader(None, 0, found.version)
    options: dict[str, Any] = {} if stop - start == size else {"range": (start, stop)}
    try:
        result = await obstore.get_async(bucket.client, image_key(guid), options=options)  # type: ignore[arg-type]
    except FileNotFoundError:
        raise await missing(bucket) from None
    except FAILURES as error:
        # A range beyond the end of a shorter object is an error of S3.
        await require_image(bucket, guid, size)
        raise blob_error(error, _ACTION) from error
    found = stored_object(result)
    if found.size != size:
        if found.size <= _PIECE_BYTES:
            with contextlib.suppress(*FAILURES):
                await result.bytes_async()  # so that the connection is free again
        del result  # and with it the connection, which the traceback of the error would keep open
        _require_length(found, size)
    return S3BlobReader(result.stream(_PIECE_BYTES), stop - start, found.version)


async def require_image(bucket: Bucket, guid: str, size: int) -> StoredObject:
    """Return the object of an image of `size` bytes; raises BlobMissingError or BlobCorruptError."""
    found = await bucket.find(image_key(guid), _ACTION)
    if found is None:
        raise await missing(bucket)
    _require_length(found, size)
    return found


async def require_checksum(bucket: Bucket, guid: str, size: int, sha256: str) -> None:
    """Read an image to its end; raises BlobMissingError, or BlobCorruptError if it has another length or SHA-256."""
    hasher = hashlib.sha256()
    async with await open_image(bucket, guid, size, 0, size) as reader:
        async for piece in reader:
            await asyncio.to_thread(hasher.update, piece)
    if hasher.hexdigest() != sha256.lower():
        raise BlobCorruptError("The stored picture does not have the hash that was recorded.")


async def read_sidecar(bucket: Bucket, guid: str) -> dict[str, Any]:
    """Return a sidecar; raises BlobMissingError, or BlobCorruptError if it is not a JSON object."""
    text = await bucket.read(sidecar_key(guid), "read a description")
    if text is None:
        await bucket.require_present()
        raise BlobMissingError("The description of the picture is not in the blob store.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BlobCorruptError("The description stored with the picture is not JSON.") from error
    if not isinstance(document, dict):
        raise BlobCorruptError("The description stored with the picture is not a JSON object.")
    return document


async def missing(bucket: Bucket) -> BlobStoreError:
    """Return the error for an image that was not found: BlobMissingError only if the bucket is there."""
    try:
        await bucket.require_present()
    except BlobStoreError as outage:
        return outage
    return BlobMissingError("The picture is not in the blob store.")


def _require_length(found: StoredObject, size: int) -> None:
    if found.size != size:
        raise BlobCorruptError("The stored picture does not have the length that was recorded.")
