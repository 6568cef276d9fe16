"""Writes of a store: bytes that are there for certain, then their sidecar."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Mapping
from enum import Enum
from typing import Any, TypeVar

from pixyproxy.adapters.s3.bucket import SHA256, Bucket, StoredObject
from pixyproxy.adapters.s3.keys import image_key, sidecar_key
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError
from pixyproxy.domain.filename import content_disposition, filename_problem

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""The largest picture: it is uploaded in one request, since obstore creates nothing conditionally in several."""
_CONFLICTS = 3
"""Attempts to create an object that S3 says exists and does not have."""
_ACTION = "store a picture"
_DESCRIBING = "describe a picture"

_T = TypeVar("_T")


class Placed(Enum):
    """The bytes in the place of an image after an attempt to create them."""

    CREATED = "created"
    SAME = "the same were there"
    OTHER = "others were there"


def encode_sidecar(sidecar: Mapping[str, Any]) -> bytes:
    """Return a sidecar as JSON in ASCII, which holds any string, lone surrogates too; one member a line."""
    return json.dumps(sidecar, default=_to_dict, allow_nan=False, separators=(",\n ", ": ")).encode("ascii")


def _to_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a sidecar cannot hold {type(value).__name__}")


def document_of(sidecar: bytes) -> dict[str, Any]:
    """Return the members of a sidecar, none if it is not a JSON object."""
    document = json.loads(sidecar)
    return document if isinstance(document, dict) else {}


def describe(sidecar: Mapping[str, Any], sha256: str) -> dict[str, str]:
    """Return the attributes of bytes: SHA-256, and media type and file name for clients that are sent to S3."""
    media_type, filename = sidecar.get("media_type"), sidecar.get("filename")
    attributes = {SHA256: sha256, "Content-Type": "application/octet-stream"}
    if isinstance(media_type, str) and media_type.isascii() and media_type.isprintable() and media_type:
        attributes["Content-Type"] = media_type
    if isinstance(filename, str) and filename_problem(filename) is None:
        attributes["Content-Disposition"] = content_disposition(filename)
    return attributes


class S3Writer:
    """Writes to one bucket, one at a time for each image."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def put(self, guid: str, data: bytes, sidecar: bytes, attributes: Mapping[str, str]) -> None:
        """Store bytes and then the sidecar, in place of older ones.

        If the sidecar cannot be stored, new bytes are there without one; older bytes are put back.
        """
        older: bytes | None = None
        if await self.create(guid, data, attributes) is Placed.OTHER:
            older = await self._bucket.read(image_key(guid), _ACTION)
            await self._replace(guid, data, attributes)
        try:
            await self.put_sidecar(guid, sidecar)
        except BlobStoreError:
            if older is not None:
                with contextlib.suppress(BlobStoreError):
                    await self._replace(guid, older, describe({}, await sha256_of(older)))
            raise

    async def create(self, guid: str, data: bytes, attributes: Mapping[str, str]) -> Placed:
        """Store bytes if there are none, and return what is in their place now.

        The object itself decides, by length and SHA-256: after "it exists" it may be an own attempt's whose answer was
        lost, or nothing was stored because of a conflict; after an error it may have been stored nevertheless.
        """
        for _ in range(_CONFLICTS):
            upload = self._bucket.create(image_key(guid), data, attributes, _ACTION)
            put_id, found, failure = await self._upload(guid, upload)
            if found is not None:
                if not _is_whole(found, data, attributes):
                    return Placed.OTHER
                return Placed.SAME if put_id is None else Placed.CREATED
            if failure is not None:
                raise failure
        await self._bucket.require_present()
        raise _not_there()

    async def put_sidecar(self, guid: str, sidecar: bytes) -> None:
        """Store a sidecar, in place of an older one."""
        await self._bucket.put(sidecar_key(guid), sidecar, {"Content-Type": "application/json"}, _DESCRIBING)

    async def replace_sidecar(self, guid: str, sidecar: bytes) -> None:
        """Store another sidecar beside stored bytes; raises BlobMissingError if there are none."""
        if await self._bucket.find(image_key(guid), _DESCRIBING) is None:
            await self._bucket.require_present()
            raise BlobMissingError("The picture is not in the blob store.")
        await self.put_sidecar(guid, sidecar)

    async def delete(self, guid: str) -> None:
        """Remove bytes, then sidecar."""
        await self._bucket.require_present()
        await self._bucket.delete(image_key(guid), sidecar_key(guid), action="delete a picture")

    async def _replace(self, guid: str, data: bytes, attributes: Mapping[str, str]) -> None:
        upload = self._bucket.put(image_key(guid), data, attributes, _ACTION)
        _, found, failure = await self._upload(guid, upload)
        if found is None or not _is_whole(found, data, attributes):
            raise failure or _not_there()

    async def _upload(
        self, guid: str, upload: Awaitable[_T]
    ) -> tuple[_T | None, StoredObject | None, BlobStoreError | None]:
        """Return the result of an upload, the object that is there afterwards, and the error of the upload."""
        result: _T | None = None
        failure: BlobStoreError | None = None
        try:
            result = await upload
        except BlobStoreError as error:
            failure = error
        try:
            return result, await self._bucket.find(image_key(guid), _ACTION), failure
        except BlobStoreError as error:
            raise failure or error from error


def _is_whole(found: StoredObject, data: bytes, attributes: Mapping[str, str]) -> bool:
    return (found.size, found.sha256) == (len(data), attributes[SHA256])


def _not_there() -> BlobStoreError:
    return BlobStoreError("The blob store cannot store a picture: S3 accepts the bytes and does not have them.")


async def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
