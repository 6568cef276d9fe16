"""The reads of a store: opening the bytes of an image, returning them in pieces, and comparing checksums."""

import asyncio
import hashlib
import io
import json
import os
import time
from collections.abc import Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.threads import FileThreads, blob_error
from pixyproxy.domain.errors import BlobCorruptError
from pixyproxy.ports.blob_store import BlobReader

ONE_PIECE_MAX_BYTES = 2 * 1024 * 1024
"""Length up to which a range is one piece; more would hold too much memory for a slow client."""
PIECE_BYTES = 512 * 1024
"""Length of each piece of a longer range."""
HASHED_BYTES = 1024 * 1024
"""Bytes that are read and hashed at a time, to bound memory."""
SETTLED_NS = 3_000_000_000
"""Age in nanoseconds after which a further change of a file is sure to get another timestamp."""


class FileBlobReader(BlobReader):
    """A range of a file: the first piece is already in memory, the rest is read on threads."""

    def __init__(
        self,
        first: bytes,
        version: Hashable,
        *,
        calls: SystemCalls,
        threads: FileThreads,
        file: io.FileIO | None = None,
        position: int = 0,
        stop: int = 0,
    ) -> None:
        self._first = first
        self._version = version
        self._calls = calls
        self._threads = threads
        self._file = file
        self._position = position
        self._stop = stop
        self._reading: Future[bytes] | None = None

    @property
    def version(self) -> Hashable:
        return self._version

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._file is None:
            raise StopAsyncIteration
        length = min(PIECE_BYTES, self._stop - self._position)
        self._reading = self._threads.submit(read_exactly, self._calls, self._file.fileno(), length, self._position)
        try:
            data = await asyncio.wrap_future(self._reading)
        except OSError as error:
            raise blob_error(error, "read a picture") from error
        self._position += length
        if self._position >= self._stop:
            await self.close()
        return data

    async def close(self) -> None:
        """Close the file, once a thread that may still be reading it (after a cancellation) has finished."""
        self._first = b""
        file, self._file = self._file, None
        if file is not None:
            if self._reading is None:
                file.close()
            else:
                self._reading.add_done_callback(lambda _: file.close())


def open_file(calls: SystemCalls, path: str, size: int) -> tuple[int, Hashable]:
    """Open a file for reading and return its descriptor and version.

    Raises BlobCorruptError, and leaves nothing open, if it is not `size` bytes long.
    """
    fd = calls.open(path, os.O_RDONLY)
    try:
        status = calls.status(fd)
        _require_length(status, size)
    except BaseException:
        calls.close(fd)
        raise
    return fd, _version(status)


def require_file(calls: SystemCalls, path: str, size: int) -> None:
    """Raise BlobCorruptError if a file is not `size` bytes long, FileNotFoundError if there is none."""
    _require_length(calls.stat(Path(path)), size)


def _require_length(status: os.stat_result, size: int) -> None:
    if status.st_size != size:
        raise BlobCorruptError("The stored picture does not have the length that was recorded.")


def _version(status: os.stat_result) -> Hashable:
    """Return a value that differs after every later change to the file, or None while that is uncertain."""
    # A change within one tick of the file system's clock leaves the time as it is. A time in the future, because a
    # clock was set back, may occur a second time.
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED_NS:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_exactly(calls: SystemCalls, fd: int, length: int, offset: int) -> bytes:
    """Read that many bytes; raises BlobCorruptError if the file ends before."""
    data = calls.pread(fd, length, offset)
    while len(data) < length:
        more = calls.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise BlobCorruptError("The stored picture ends before its recorded length.")
        data += more
    return data


def read_whole(calls: SystemCalls, path: Path) -> bytes:
    """Return all bytes of a file."""
    fd = calls.open(path, os.O_RDONLY)
    try:
        return read_exactly(calls, fd, calls.status(fd).st_size, 0)
    finally:
        calls.close(fd)


def read_sidecar(calls: SystemCalls, path: Path) -> dict[str, Any]:
    """Return a sidecar; raises BlobCorruptError if it is not a JSON object."""
    try:
        document = json.loads(read_whole(calls, path))
    except (ValueError, RecursionError) as error:
        raise BlobCorruptError("The description stored with the picture is not JSON.") from error
    if not isinstance(document, dict):
        raise BlobCorruptError("The description stored with the picture is not a JSON object.")
    return document


def open_and_read(
    calls: SystemCalls, path: str, size: int, start: int, stop: int
) -> tuple[bytes, Hashable, io.FileIO | None]:
    """Open a file and read the first piece of a range; return it, the version, and the file if there is more."""
    length = stop - start
    fd, version = open_file(calls, path, size)
    try:
        first = read_exactly(calls, fd, length if length <= ONE_PIECE_MAX_BYTES else PIECE_BYTES, start)
        if length > ONE_PIECE_MAX_BYTES:
            # An io object closes itself if its owner is lost; a bare descriptor would leak.
            file, fd = io.FileIO(fd), -1
            return first, version, file
    finally:
        if fd >= 0:
            calls.close(fd)
    return first, version, None


def close_unclaimed(future: Future[tuple[bytes, Hashable, io.FileIO | None]]) -> None:
    """Close the file of an `open_and_read` whose caller was cancelled meanwhile."""
    if not future.cancelled() and future.exception() is None:
        _, _, file = future.result()
        if file is not None:
            file.close()


def require_checksum(calls: SystemCalls, path: Path, size: int, sha256: str) -> None:
    """Read a file to its end; raises BlobCorruptError if it has another length or SHA-256."""
    fd, _ = open_file(calls, str(path), size)
    try:
        hasher = hashlib.sha256()
        for offset in range(0, size, HASHED_BYTES):
            hasher.update(read_exactly(calls, fd, min(HASHED_BYTES, size - offset), offset))
        if hasher.hexdigest() != sha256.lower():
            raise BlobCorruptError("The stored picture does not have the hash that was recorded.")
    finally:
        calls.close(fd)


def has_checksum(calls: SystemCalls, path: Path, size: int, sha256: str) -> bool:
    """Return whether a file has this length and SHA-256."""
    try:
        require_checksum(calls, path, size, sha256)
    except BlobCorruptError:
        return False
    return True
