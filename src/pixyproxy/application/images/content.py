"""The bytes of an image, checked against the recorded SHA-256 when they are read."""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from pixyproxy.application.hashing import update_hash
from pixyproxy.domain.errors import BlobCorruptError, ImageNotReadyError
from pixyproxy.domain.image import Image, ImageResult, Status
from pixyproxy.ports.blob_store import BlobReader, BlobStore

logger = logging.getLogger(__name__)

_CACHE_SIZE = 8192


class ChecksumCache:
    """A bounded cache of blob versions whose checksum was found right, so that they are not hashed again.

    The version comes from the store and differs after every change; a blob without one is not cached.
    """

    def __init__(self, size: int = _CACHE_SIZE) -> None:
        self._size = size
        self._checked: OrderedDict[tuple[str, str, Hashable], None] = OrderedDict()

    def add(self, guid: str, sha256: str, version: Hashable) -> None:
        """Add a version of a blob that has this checksum, and drop the least recently used one above the limit."""
        if version is None:
            return
        self._checked[guid, sha256, version] = None
        self._checked.move_to_end((guid, sha256, version))
        if len(self._checked) > self._size:
            self._checked.popitem(last=False)

    def contains(self, guid: str, sha256: str, version: Hashable) -> bool:
        """Return whether this version of the blob was found to have this checksum."""
        found = version is not None and (guid, sha256, version) in self._checked
        if found:
            self._checked.move_to_end((guid, sha256, version))
        return found


@dataclass(frozen=True, slots=True)
class ImageContent:
    """The bytes of a ready image that the viewer may see; nothing is opened before `read`.

    Methods raise BlobStoreError if the bytes are missing, damaged, of another length, or cannot be read.
    """

    image: Image
    result: ImageResult
    _blobs: BlobStore
    _checksums: ChecksumCache

    @classmethod
    def of(cls, image: Image, blobs: BlobStore, checksums: ChecksumCache | None = None) -> Self:
        """Return the content of an image; raise ImageNotReadyError, with a delay if it may get one, if it has none.

        Without a cache of checksums every read is hashed.
        """
        if image.status is Status.QUEUED:
            raise ImageNotReadyError("The image waits for its turn.", guid=image.guid, retry_after_s=5)
        if image.status is Status.GENERATING:
            raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=2)
        if image.result is None:
            # An image of unknown outcome may still be settled, but not soon.
            raise ImageNotReadyError(
                f"The image has no content: its status is {image.status.value}.", guid=image.guid, retry_after_s=3600
            )
        return cls(image, image.result, blobs, checksums or ChecksumCache())

    async def read(self, start: int = 0, stop: int | None = None) -> BlobReader:
        """Open the bytes `start` up to (not including) `stop` (None: the end).

        If all bytes are read, the reader compares them with the recorded SHA-256 before it returns the last piece,
        unless this was done before and the blob has not changed since.
        """
        reader = await self._blobs.read(self.image.guid, size=self.result.size_bytes, start=start, stop=stop)
        if start > 0 or (stop is not None and stop < self.result.size_bytes):
            return reader
        if self._checksums.contains(self.image.guid, self.result.sha256, reader.version):
            return reader
        return _CheckedReader(reader, self)

    async def read_whole(self) -> bytes:
        """Return all bytes, checked."""
        async with await self.read() as reader:
            return b"".join([piece async for piece in reader])

    async def location(self) -> str | None:
        """Return the path at which a web server that shares the store finds the bytes, unchecked, or None."""
        return await self._blobs.location(self.image.guid, size=self.result.size_bytes)

    async def address(self) -> str | None:
        """Return the URL outside of this service at which anybody can fetch the bytes for a minute, or None."""
        return await self._blobs.address(self.image.guid, size=self.result.size_bytes)


class _CheckedReader(BlobReader):
    """A reader that returns the last piece of another only if all pieces have the recorded SHA-256."""

    def __init__(self, reader: BlobReader, content: ImageContent) -> None:
        self._reader = reader
        self._content = content
        self._hasher = hashlib.sha256()
        self._bytes_read = 0

    @property
    def version(self) -> Hashable:
        return self._reader.version

    async def __anext__(self) -> bytes:
        piece = await anext(self._reader)
        await update_hash(self._hasher, piece)
        self._bytes_read += len(piece)
        if self._bytes_read >= self._content.result.size_bytes:
            self._compare()
        return piece

    def _compare(self) -> None:
        content = self._content
        if self._hasher.hexdigest() != content.result.sha256:
            logger.critical("THE STORED BYTES OF IMAGE %s ARE NOT THOSE THAT WERE RECORDED", content.image.guid)
            raise BlobCorruptError("The stored picture is damaged.", guid=content.image.guid)
        content._checksums.add(content.image.guid, content.result.sha256, self.version)

    async def close(self) -> None:
        await self._reader.close()
