"""The bytes of an image, checked on the way out against the sha256 that was recorded."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from pixyproxy.domain.errors import BlobCorruptError, ImageNotReadyError
from pixyproxy.domain.image import Image, ImageResult, Status
from pixyproxy.ports.blob_store import BlobReader, BlobStore

logger = logging.getLogger(__name__)

_SHORT = 64 * 1024
"""Bytes up to which hashing takes less than the way to a thread and back."""
_MAX_VERIFIED = 8192


class Verified:
    """Remembers which bytes were found right, so that what has not changed since is not hashed at every delivery.

    The store says by the version of a blob whether it has changed; without one nothing is remembered.
    """

    def __init__(self, size: int = _MAX_VERIFIED) -> None:
        self._size = size
        self._known: OrderedDict[tuple[str, str, Hashable], None] = OrderedDict()

    def add(self, guid: str, sha256: str, version: Hashable) -> None:
        """Remember that this version of the blob has this sum, and forget what was not asked for longest."""
        if version is None:
            return
        self._known[guid, sha256, version] = None
        self._known.move_to_end((guid, sha256, version))
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def knows(self, guid: str, sha256: str, version: Hashable) -> bool:
        """Whether this version of the blob was found to have this sum."""
        found = version is not None and (guid, sha256, version) in self._known
        if found:
            self._known.move_to_end((guid, sha256, version))
        return found


@dataclass(frozen=True, slots=True)
class ImageContent:
    """The bytes of a ready image that the viewer may see; nothing is opened before `read`."""

    image: Image
    result: ImageResult
    _blobs: BlobStore
    _verified: Verified

    @classmethod
    def of(cls, image: Image, blobs: BlobStore, verified: Verified | None = None) -> Self:
        """The content of a ready image; raises ImageNotReadyError for any other, with a delay if one may come.

        `verified` remembers from one content to the next what need not be checked again; without it all is.
        """
        if image.status is Status.GENERATING:
            raise ImageNotReadyError("The image is still being made.", guid=image.guid, retry_after_s=2)
        if image.result is None:
            # Not a temporary state, but somebody may yet settle an unknown one: ask again much later.
            raise ImageNotReadyError(
                f"The image has no content: its status is {image.status.value}.", guid=image.guid, retry_after_s=3600
            )
        return cls(image, image.result, blobs, verified or Verified())

    async def read(self, start: int = 0, stop: int | None = None) -> BlobReader:
        """Open the bytes `start` up to `stop` (None: the end).

        Raises BlobStoreError if they are not there whole. What is read as a whole is checked against the
        recorded sha256, unless it was before and has not changed since: here, if it is one piece, or else before
        its last piece; BlobCorruptError is raised instead of handing that out.
        """
        reader = await self._blobs.read(self.image.guid, size=self.result.size_bytes, start=start, stop=stop)
        if start > 0 or (stop is not None and stop < self.result.size_bytes):
            return reader
        if self._verified.knows(self.image.guid, self.result.sha256, reader.version):
            return reader
        checked = _CheckedReader(reader, self)
        try:
            await checked.take_in(reader.first)
        except BaseException:
            await reader.close()
            raise
        return checked

    async def location(self) -> str | None:
        """Where a web server that shares the store finds the bytes, None where it cannot.

        Raises BlobStoreError if they are not there, or of another length; more is not checked.
        """
        return await self._blobs.location(self.image.guid, size=self.result.size_bytes)

    async def read_whole(self) -> bytes:
        """All bytes, checked; raises what `read` raises."""
        async with await self.read() as reader:
            return b"".join([reader.first, *[piece async for piece in reader]])


class _CheckedReader(BlobReader):
    """Hands on the pieces of another reader, the last one only if all of them have the recorded sha256."""

    def __init__(self, reader: BlobReader, content: ImageContent) -> None:
        self.first = reader.first
        self.version = reader.version
        self._reader = reader
        self._content = content
        self._hash = hashlib.sha256()
        self._seen = 0

    async def take_in(self, piece: bytes) -> None:
        """Count a piece; raises BlobCorruptError if it is the last and the sum is wrong."""
        if len(piece) <= _SHORT:
            self._hash.update(piece)
        else:
            await asyncio.to_thread(self._hash.update, piece)
        self._seen += len(piece)
        if self._seen >= self._content.result.size_bytes:
            self._judge()

    def _judge(self) -> None:
        content = self._content
        if self._hash.hexdigest() != content.result.sha256:
            logger.critical("THE STORED BYTES OF IMAGE %s ARE NOT THOSE THAT WERE RECORDED", content.image.guid)
            raise BlobCorruptError("The stored picture is damaged.", guid=content.image.guid)
        content._verified.add(content.image.guid, content.result.sha256, self.version)

    async def __anext__(self) -> bytes:
        piece = await self._reader.__anext__()
        await self.take_in(piece)
        return piece

    async def close(self) -> None:
        await self._reader.close()
