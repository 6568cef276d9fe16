"""A part of a bucket, below a prefix: requests to S3, with domain errors, and the identity that it carries."""

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from pixyproxy.adapters.s3.error_translation import FAILURES, blob_error
from pixyproxy.domain.errors import BlobStoreError, StoreIdentityError
from pixyproxy.ports.blob_store import identity_in, require_canonical_guid

if TYPE_CHECKING:
    from obstore import GetResult

MARKER = "pixyproxy.id"
"""The object whose first line is the identity of the database that the store belongs to."""
_MARKER_TEXT = """{}
This store holds the pictures of the PixyProxy database with the identity above. Keep this object with them.
"""
_RETRIES = 2
_RETRY_S = 10.0
"""Seconds from the first attempt in which another one may begin."""
_CONNECT_S = 5.0
_SILENCE_S = 30.0
"""Seconds that S3 may take for a whole upload or for the next piece of a download."""
_DOWNLOAD_S = 6 * 3600.0
"""Seconds that a download may take in all: it goes at the pace of the client."""
_PUT_ID = "put"
"""Metadata by which two uploads of the same bytes differ: the entity tag is the same for both."""
SHA256 = "sha256"
"""Metadata with the SHA-256 of the bytes in hexadecimal."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class S3Location:
    """The bucket, the prefix of its keys, and how S3 is reached; None: as the AWS variables of the environment say."""

    bucket: str
    prefix: str | None = None
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    backoff_s: float = 0.2
    """Seconds before the first repetition of a failed request; the second comes after up to three times as long."""

    def connect(self) -> S3Store:
        """Return a client; it connects to nothing yet."""
        config: dict[str, Any] = {"region": self.region, "virtual_hosted_style_request": False}
        if self.endpoint_url is not None:
            config["endpoint"] = self.endpoint_url
        if self.access_key_id is not None and self.secret_access_key is not None:
            config |= {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key}
        return S3Store(
            self.bucket,
            prefix=self.prefix,
            config=config,  # type: ignore[arg-type]
            client_options={
                "allow_http": (self.endpoint_url or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=_CONNECT_S),
                "read_timeout": timedelta(seconds=_SILENCE_S),
                "timeout": timedelta(seconds=_DOWNLOAD_S),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_S),
                "backoff": {
                    "init_backoff": timedelta(seconds=self.backoff_s),
                    "max_backoff": timedelta(seconds=3),
                    "base": 3,
                },
            },
        )


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: length, time of its upload, SHA-256 and id of the upload as its metadata has them, entity tag."""

    size: int
    modified_at: datetime
    sha256: str | None = None
    put_id: str | None = None
    e_tag: str | None = None

    @property
    def version(self) -> tuple[str | None, ...]:
        """A value that differs after every later upload."""
        return (self.e_tag, self.put_id, self.modified_at.isoformat())


class Bucket:
    """Requests below one prefix; a request that fails is repeated twice within ten seconds.

    `action` completes the sentence "The blob store cannot …" in the BlobStoreError that every method raises.
    """

    def __init__(self, location: S3Location) -> None:
        self._location = location
        self._client: S3Store | None = None
        self._identity: str | None = None

    @property
    def client(self) -> S3Store:
        """The client; raises BlobStoreError unless it is open."""
        if self._client is None:
            raise BlobStoreError("The blob store is not open.")
        return self._client

    async def open(self) -> None:
        """Make sure that the bucket is there, and remember the identity that it carries; twice does nothing."""
        if self._client is not None:
            return
        self._client = self._location.connect()
        self._identity = None
        try:
            await self.require_present()
            self._identity = await self.read_identity()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of all connections."""
        self._client = None

    async def create(self, key: str, data: bytes, attributes: Mapping[str, str], action: str) -> str | None:
        """Upload an object in one request unless the key is taken, and return the id of the upload, else None.

        None also follows an own attempt whose answer was lost, and a conflict in which nothing was stored.
        """
        put_id = uuid4().hex
        described = {**attributes, _PUT_ID: put_id}
        try:
            await obstore.put_async(self.client, key, data, attributes=described, mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return None
        except FAILURES as error:
            raise blob_error(error, action) from error
        return put_id

    async def put(self, key: str, data: bytes, attributes: Mapping[str, str], action: str) -> None:
        """Upload an object in one request, in place of an older one."""
        described = {**attributes, _PUT_ID: uuid4().hex}
        try:
            await obstore.put_async(self.client, key, data, attributes=described, use_multipart=False)
        except FAILURES as error:
            raise blob_error(error, action) from error

    async def find(self, key: str, action: str) -> StoredObject | None:
        """Return an object, or None; `require_present` tells whether that is because the bucket is gone."""
        try:
            return stored_object(await obstore.get_async(self.client, key, options={"head": True}))
        except FileNotFoundError:
            return None
        except FAILURES as error:
            raise blob_error(error, action) from error

    async def read(self, key: str, action: str) -> bytes | None:
        """Return the whole of a small object, or None as `find` does."""
        try:
            result = await obstore.get_async(self.client, key)
            return bytes(await result.bytes_async())
        except FileNotFoundError:
            return None
        except FAILURES as error:
            raise blob_error(error, action) from error

    async def copy(self, source: str, target: str, action: str) -> bool:
        """Copy an object with its metadata; return False if there is none."""
        try:
            await obstore.copy_async(self.client, source, target)
        except FileNotFoundError:
            return False
        except FAILURES as error:
            raise blob_error(error, action) from error
        return True

    async def delete(self, *keys: str, action: str) -> None:
        """Remove objects; no error if there are none."""
        for key in keys:
            try:
                await obstore.delete_async(self.client, key)
            except FileNotFoundError:
                await self.require_present()
            except FAILURES as error:
                raise blob_error(error, action) from error

    async def objects(self, folder: str, action: str) -> AsyncIterator[tuple[str, StoredObject]]:
        """Yield key and object, without metadata, of everything below a folder."""
        try:
            async for batch in obstore.list(self.client, folder, chunk_size=1000):
                for meta in batch:
                    yield meta["path"], StoredObject(meta["size"], meta["last_modified"].astimezone(UTC))
        except FAILURES as error:
            raise blob_error(error, action) from error

    async def folders(self, folder: str | None, action: str) -> list[str]:
        """Return the folders directly below a folder, or at the top, in order."""
        try:
            found = await obstore.list_with_delimiter_async(self.client, folder)
        except FAILURES as error:
            raise blob_error(error, action) from error
        return sorted(found["common_prefixes"])

    async def sign(self, key: str, valid_s: float) -> str:
        """Return an address at which anybody can read an object for some seconds."""
        try:
            return await obstore.sign_async(self.client, "GET", key, timedelta(seconds=valid_s))
        except FAILURES as error:
            raise blob_error(error, "sign an address") from error

    async def read_identity(self) -> str | None:
        """Return the identity in the marker, None without a marker; raises BlobStoreError if it holds none."""
        text = await self.read(MARKER, "read its marker")
        if text is None:
            await self._list_nothing()
            return None
        identity = identity_in(text)
        if identity is None:
            raise _unusable(f"its object {MARKER} does not begin with an identity")
        return identity

    async def write_identity(self, identity: str) -> None:
        """Create the marker; raises StoreIdentityError if it names another database."""
        require_canonical_guid(identity)
        text = _MARKER_TEXT.format(identity).encode()
        await self.create(MARKER, text, {"Content-Type": "text/plain"}, "write its marker")
        await self._require_identity(identity)
        self._identity = identity

    async def require_present(self) -> None:
        """Raise BlobStoreError if the bucket is gone, StoreIdentityError if it carries another identity than before.

        An outage must never look like an empty store.
        """
        if self._identity is None:
            await self._list_nothing()
        else:
            await self._require_identity(self._identity)

    async def _require_identity(self, identity: str) -> None:
        found = await self.read_identity()
        if found != identity:
            problem = f"has no object {MARKER}" if found is None else f"belongs to another database ({found})"
            _log.error("The blob store is not usable: it %s, where that of %s is expected", problem, identity)
            raise StoreIdentityError("The blob store is not the one that belongs to the database.")

    async def _list_nothing(self) -> None:
        """Raise BlobStoreError unless the bucket can be listed: a key that is missing looks like a missing bucket."""
        async for _ in self.objects("pixyproxy.none", "reach its bucket"):
            return


def stored_object(result: "GetResult") -> StoredObject:
    """Return the object that a response describes."""
    meta, attributes = result.meta, result.attributes
    return StoredObject(
        meta["size"],
        meta["last_modified"].astimezone(UTC),
        attributes.get(SHA256),
        attributes.get(_PUT_ID),
        meta["e_tag"],
    )


def _unusable(reason: str) -> BlobStoreError:
    _log.error("The blob store is not usable: %s", reason)
    return BlobStoreError(f"The blob store is not usable: {reason}.")
