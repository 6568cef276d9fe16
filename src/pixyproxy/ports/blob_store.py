"""The port to the store of bytes."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Hashable, Mapping
from types import TracebackType
from typing import Any, Self

from pixyproxy.domain.image import is_guid
from pixyproxy.ports.resource import Resource

_GUID_LENGTH = 36


class BlobReader(AsyncIterator[bytes]):
    """The bytes of an opened blob, piece by piece; use it in `async with`, or close it, to free its resources.

    No piece is empty; an empty range has none. A blob that was opened is read to its end even if it is deleted
    or replaced meanwhile.
    """

    @property
    def version(self) -> Hashable:
        """A value that differs after every later change to the blob, or None if the store cannot tell.

        An optional ability: without it the bytes are hashed on every delivery.
        """
        return None

    @abstractmethod
    async def __anext__(self) -> bytes:
        """Return the next piece; raises BlobCorruptError if the bytes end early, BlobStoreError if reading fails."""

    @abstractmethod
    async def close(self) -> None:
        """Free all resources; closing twice does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class BlobStore(Resource):
    """A store of the bytes of images, each with a sidecar: a JSON document that describes it.

    Blobs are named by the GUID alone. Every method raises BlobStoreError when the store cannot be reached,
    BlobStoreExhaustedError if this process only lacks open files, memory or threads for it now, and ValueError for a
    GUID that is not in canonical form.
    """

    @property
    def is_lasting(self) -> bool:
        """Return whether blobs outlive the process; no database is bound to a store that forgets them."""
        return True

    @abstractmethod
    async def identity(self) -> str | None:
        """Return the identity of the database that the store belongs to, or None if it carries none."""

    @abstractmethod
    async def set_identity(self, identity: str) -> None:
        """Make the store carry the identity of a database, a GUID, durably; no error if it carries it already.

        A store that carried an identity when it was opened, or was given one since, has to carry it: as long as it
        does not, `check_writable` and `put` raise StoreIdentityError, and no blob is reported as missing.

        Raises:
            StoreIdentityError: it carries another; nothing was changed.
        """

    @abstractmethod
    async def check_writable(self) -> None:
        """Return if a picture could be stored now; cheap enough to be called before every generation.

        Raises:
            StoreIdentityError: the store does not carry the identity that it carried before.
            BlobStoreFullError: there is not enough room.
            BlobStoreError: writing is impossible.
        """

    @abstractmethod
    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        """Store bytes and sidecar durably: they survive a crash of the machine once this returns.

        A reader sees all of the old or all of the new, never a part. After an error everything under the GUID is
        as it was before, but that new bytes may be there, whole and without a sidecar, and no partial file is left.

        Raises:
            BlobStoreFullError: no space is left.
            BlobStoreError: another failure to write.
        """

    @abstractmethod
    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store bytes that cannot be stored in their place wherever there is room, and return the location.

        They are not served under the GUID, and nothing is overwritten. Raises BlobStoreError if no place takes them.
        """

    @abstractmethod
    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        """Open the bytes `start` up to (not including) `stop` (None: the end) of a blob of `size` bytes.

        Raises:
            BlobMissingError: there are no bytes.
            BlobCorruptError: their length is not `size`.
            ValueError: the range is not within `size`.
        """

    async def location(self, guid: str, *, size: int) -> str | None:
        """Return the path, relative to the store's root, at which a web server finds the bytes of a blob.

        An optional ability: None for a store without files. The path has letters, digits, hyphens, dots and slashes.

        Raises:
            BlobMissingError: there are no bytes.
            BlobCorruptError: their length is not `size`.
        """
        return None

    async def address(self, guid: str, *, size: int) -> str | None:
        """Return the URL at which anybody can fetch the bytes of a blob for a minute, with ranges.

        An optional ability: None for a store that does not send clients elsewhere.

        Raises:
            BlobMissingError: there are no bytes.
            BlobCorruptError: their length is not `size`.
        """
        return None

    @abstractmethod
    async def read_sidecar(self, guid: str) -> dict[str, Any]:
        """Return the sidecar.

        Raises:
            BlobMissingError: there is none.
            BlobCorruptError: it is not a JSON object.
        """

    @abstractmethod
    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        """Store another sidecar beside stored bytes, durably and atomically; the bytes stay as they are.

        Raises:
            BlobMissingError: there are no bytes.
            BlobStoreFullError: no space is left.
            BlobStoreError: another failure to write.
        """

    @abstractmethod
    async def delete(self, guid: str) -> None:
        """Remove bytes and sidecar durably; no error if there are none."""


def require_canonical_guid(guid: str) -> None:
    """Raise ValueError unless the text is a GUID in canonical form: text from outside never becomes a path."""
    if not is_guid(guid):
        raise ValueError("not a GUID in canonical form")


def identity_in(marker: bytes) -> str | None:
    """Return the identity with which a marker begins, None if it begins otherwise.

    People write it too: with blanks before it, in capitals, or with an editor that adds a byte order mark.
    """
    identity = marker.decode("utf-8-sig", errors="replace").lstrip()[:_GUID_LENGTH].lower()
    return identity if is_guid(identity) else None
