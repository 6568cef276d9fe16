"""The spool: uploads on their way to a generator, in private files whose total is bounded."""

import asyncio
import errno
import io
import logging
import os
import tempfile
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pixyproxy.domain.errors import BlobStoreFullError, CapacityExceededError

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1024 * 1024
"""Bytes of a file that are not on disk."""
PIECE_BYTES = 256 * 1024
_RETRY_AFTER_S = 10.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Spool:
    """Opens files that hold at most `limit_bytes` together, in `folder` (None: the system's for temporary files).

    The files have no names, and belong to nobody else.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self.used_bytes = 0

    def open(self) -> "SpoolFile":
        """Return an empty file."""
        return SpoolFile(self)

    def reserve(self, size: int) -> None:
        """Count bytes that are about to be written; raise CapacityExceededError if there is no room for them."""
        with self._lock:
            if self.used_bytes + size > self._limit_bytes:
                raise CapacityExceededError(
                    "Too many uploads are being received: try again in a moment.", retry_after_s=_RETRY_AFTER_S
                )
            self.used_bytes += size

    def release(self, size: int) -> None:
        """Give back bytes that were reserved."""
        with self._lock:
            self.used_bytes -= size

    def create_file(self) -> BinaryIO:
        """Return a file on disk that nobody else can open."""
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cast("BinaryIO", tempfile.TemporaryFile(buffering=0, dir=self._folder))


class SpoolFile:
    """A file that is appended to, in memory until it grows; it lasts until it and all files over it are closed.

    The methods block, and may be called in any thread. Those that write raise CapacityExceededError, or
    BlobStoreFullError if the disk is full; after the end of the file all raise ValueError.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._memory = bytearray()
        self._disk: BinaryIO | None = None
        self._lock = threading.RLock()
        self._holders = 1
        self._is_closed = False
        self.size = 0

    def append(self, data: bytes) -> None:
        """Write at the end."""
        with self._lock:
            self._require_open()
            self._spool.reserve(len(data))
            self.size += len(data)
            self.write(self.size - len(data), data)

    def write(self, at: int, data: bytes) -> None:
        """Write over what is there."""
        with self._lock:
            self._require_open()
            if self._disk is None and self.size <= IN_MEMORY_BYTES:
                self._memory[at : at + len(data)] = data
                return
            try:
                if self._disk is None:
                    self._disk = self._spool.create_file()
                    _write(self._disk, 0, self._memory)
                    self._memory.clear()
                _write(self._disk, at, data)
            except OSError as error:
                logger.error("an upload cannot be written to the spool: %s", error)
                if error.errno in _FULL:
                    raise BlobStoreFullError("There is no space left for uploads.") from error
                raise CapacityExceededError("Uploads cannot be kept at the moment: try again later.") from error

    def read(self, at: int, size: int) -> bytes:
        """Return the bytes at a position, fewer at the end."""
        with self._lock:
            self._require_open()
            if self._disk is None:
                return bytes(self._memory[at : at + size])
            return os.pread(self._disk.fileno(), size, at)

    def hold(self) -> None:
        """Keep the file from ending until one more `release`."""
        with self._lock:
            self._require_open()
            self._holders += 1

    def release(self) -> None:
        """End the file if nobody else holds it."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._memory = bytearray()
                if self._disk is not None:
                    self._disk.close()
                self._spool.release(self.size)

    def close(self) -> None:
        """End the file as soon as the files over it are closed, too."""
        if not self._is_closed:
            self._is_closed = True
            self.release()

    def _require_open(self) -> None:
        if self._holders == 0:
            raise ValueError("the file is closed")


async def append_as_file(file: SpoolFile, pieces: AsyncIterable[bytes]) -> BinaryIO:
    """Append pieces to a spool file and return them as a file of their own; the errors are those of `append`."""
    start = file.size
    async for piece in pieces:
        await asyncio.to_thread(file.append, piece)
    return SpoolRegion(file, start, file.size - start).open()


class SpoolRegion:
    """A stretch of a spool file."""

    def __init__(self, file: SpoolFile, start: int, size: int = 0) -> None:
        self._file = file
        self._start = start
        self.size = size

    def read(self, size: int | None = None) -> bytes:
        """Return the bytes from the start on, all of them without a size."""
        return self._file.read(self._start, self.size if size is None else min(size, self.size))

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes piece by piece."""
        for at in range(0, self.size, PIECE_BYTES):
            yield self._file.read(self._start + at, min(PIECE_BYTES, self.size - at))

    def extend(self, data: bytes) -> None:
        """Write behind what is in the region, over what is there in the file."""
        self._file.write(self._start + self.size, data)
        self.size += len(data)

    def rewrite(self, convert: Callable[[Iterable[bytes]], Iterable[bytes]]) -> None:
        """Put the converted bytes in place of those that are there; none may be written before it is read."""
        pieces = convert(self.pieces())
        converted = SpoolRegion(self._file, self._start)
        for piece in pieces:
            converted.extend(piece)
        self.size = converted.size

    def open(self) -> BinaryIO:
        """Return a file over the region, at its beginning and open for reading, which the caller closes."""
        return cast("BinaryIO", _RegionReader(self._file, self._start, self.size))


class _RegionReader(io.RawIOBase):
    """A file over a part of a spool file."""

    def __init__(self, file: SpoolFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._position = 0
        file.hold()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("the file of a picture is closed")
        left = max(0, self._size - self._position)
        data = self._file.read(self._start + self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.release()


def _write(file: BinaryIO, at: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file.fileno(), view, at)
        view, at = view[written:], at + written
