"""The port to the store of bytes."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from pixyproxy.ports.lifecycle import Resource


class BlobReader(AsyncIterator[bytes]):
    """The bytes of an opened blob, piece by piece; hold it in `async with`, or close it, to free what it holds.

    `first` is the first piece, already read (empty only for an empty range); iterating yields the pieces
    after it. A blob that was opened is read to its end even if it is deleted meanwhile.
    """

    first: bytes

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

    Blobs are named by the GUID alone. Every method raises BlobStoreError when the store cannot be
    reached, and ValueError for a guid that is not in canonical form.
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
    async def keep_aside(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Keep bytes that cannot be stored in their place, wherever there is room, and say where.

        They are not served under the guid. Raises BlobStoreError if no place takes them.
        """

    @abstractmethod
    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        """Open the bytes `start` up to (not including) `stop` (None: the end) of a blob `size` bytes long.

        Raises BlobMissingError if there are none, BlobCorruptError if their length is not `size`.
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
        """Remove bytes and sidecar durably; what is not there is no error."""
