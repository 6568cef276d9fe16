"""The port to the store of bytes."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Hashable, Mapping
from types import TracebackType
from typing import Any, Self

from pixyproxy.ports.resource import Resource


class BlobReader(AsyncIterator[bytes]):
    """The bytes of an opened blob, piece by piece; hold it in `async with`, or close it, to free what it holds.

    `first` is the first piece, already read (empty only for an empty range); iterating yields the pieces
    after it. A blob that was opened is read to its end even if it is deleted meanwhile.

    `version` tells the states of a blob apart: whatever is put or changed in its place after it was opened has another
    one. None where such a change might not show.
    """

    first: bytes
    version: Hashable = None

    @abstractmethod
    async def __anext__(self) -> bytes:
        """The next piece; raises BlobStoreError if it cannot be read whole."""

    @abstractmethod
    async def close(self) -> None:
        """Free what is held; closing twice does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class BlobStore(Resource):
    """Keeps the bytes of images, and beside each a sidecar: a JSON document that describes it.

    Blobs are named by the GUID alone. Derivatives, which can be made anew from the bytes at any time, are kept apart
    from them, each under a name of its own: up to 100 lower-case letters, digits and hyphens, a dot, and up to 10
    letters. Every method raises BlobStoreError when the store cannot be
    reached, and ValueError for a guid that is not in canonical form or a name that is not of this form.
    """

    @abstractmethod
    async def check_writable(self) -> None:
        """Return if a picture could be stored now.

        Raises BlobStoreFullError if there is not enough room, BlobStoreError if writing is impossible.
        """

    @abstractmethod
    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        """Store bytes and sidecar durably: they survive a crash of the machine once this returns.

        A reader sees all of the old or all of the new, never a part. On any error nothing is visible
        under the guid that was not before, no debris is left, and BlobStoreFullError (no space) or
        BlobStoreError is raised.
        """

    @abstractmethod
    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Keep bytes that cannot be stored in their place, wherever there is room, and say where.

        They are not served under the guid. Raises BlobStoreError if no place takes them.
        """

    @abstractmethod
    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        """Open the bytes `start` up to (not including) `stop` (None: the end) of a blob `size` bytes long.

        Raises BlobMissingError if there are none, BlobCorruptError if their length is not `size`.
        """

    @abstractmethod
    async def location(self, guid: str, *, size: int) -> str | None:
        """Where a web server that shares the store finds the bytes of a blob `size` bytes long.

        A path relative to the store's root, of letters, digits, hyphens, dots and slashes; None for a store that has
        no files. Raises what `read` raises for bytes that are missing or of another length.
        """

    @abstractmethod
    async def read_sidecar(self, guid: str) -> dict[str, Any]:
        """The sidecar; raises BlobMissingError if there is none, BlobCorruptError if it is not a JSON object."""

    @abstractmethod
    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        """Put another sidecar beside stored bytes, durably, all or nothing; the bytes stay as they are.

        Raises BlobMissingError if there are no bytes, BlobStoreFullError or BlobStoreError as `put` does.
        """

    @abstractmethod
    async def delete(self, guid: str) -> None:
        """Remove bytes and sidecar durably, and all derivatives; what is not there is no error."""

    @abstractmethod
    async def put_derivative(self, guid: str, name: str, data: bytes) -> None:
        """Keep what was derived from the bytes, in place of an older one; a crash of the machine may lose it.

        A reader sees all of the old or all of the new, never a part, also after a crash. Raises BlobStoreFullError
        where there is not enough room for more than pictures, BlobStoreError otherwise; no debris is left then.
        """

    @abstractmethod
    async def read_derivative(self, guid: str, name: str) -> bytes | None:
        """All bytes of what was kept under this name, None if there is none."""
