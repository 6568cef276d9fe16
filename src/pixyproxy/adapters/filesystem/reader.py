"""The store's reading side: opening the bytes of an image and handing them out in pieces."""

import asyncio
import io
import os
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import TypeVar

from pixyproxy.adapters.filesystem.error_translation import blob_error
from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.domain.errors import BlobCorruptError, BlobStoreError
from pixyproxy.ports.blob_store import BlobReader

WHOLE = 2 * 1024 * 1024
"""Bytes up to which a range is one piece; more at once would pin too much memory for a slow reader."""
PIECE = 512 * 1024
"""Bytes of each piece of a longer range."""

SETTLED_NS = 3_000_000_000
"""How long ago a file must have changed: sooner it may change once more within the same tick of its file system."""

_T = TypeVar("_T")


class FileBlobReader(BlobReader):
    """A range of a file, of which the first piece is read and the rest follows on threads."""

    def __init__(
        self,
        first: bytes,
        version: Hashable,
        *,
        calls: SystemCalls,
        executor: Executor | None = None,
        file: io.FileIO | None = None,
        position: int = 0,
        stop: int = 0,
    ) -> None:
        self._first = first
        self._version = version
        self._calls = calls
        self._executor = executor
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
        length = min(PIECE, self._stop - self._position)
        self._reading = submit(self._executor, read_exactly, self._calls, self._file.fileno(), length, self._position)
        try:
            data = await asyncio.wrap_future(self._reading)
        except OSError as error:
            raise blob_error(error, "read a picture") from error
        self._position += length
        if self._position >= self._stop:
            await self.close()
        return data

    async def close(self) -> None:
        """Close the file, once a thread that may still be reading it (after a cancellation) is done with it."""
        self._first = b""
        file, self._file = self._file, None
        if file is not None:
            if self._reading is None:
                file.close()
            else:
                self._reading.add_done_callback(lambda _: file.close())


def open_file(calls: SystemCalls, path: str, size: int) -> tuple[int, Hashable]:
    """Open a file for reading, and say what version it is.

    Raises BlobCorruptError, with nothing left open, if it is not `size` bytes long.
    """
    fd = calls.open(path, os.O_RDONLY)
    try:
        status = calls.status(fd)
        _require_length(status, size)
    except BaseException:
        calls.close(fd)
        raise
    return fd, _version(status)


def look_at(calls: SystemCalls, path: str, size: int) -> None:
    """See that a file is there; raises BlobCorruptError if it is not `size` bytes long."""
    _require_length(calls.stat(Path(path)), size)


def _require_length(status: os.stat_result, size: int) -> None:
    if status.st_size != size:
        raise BlobCorruptError("The stored picture does not have the length that was recorded.")


def _version(status: os.stat_result) -> Hashable:
    """What is another after every later change to the file, None where that cannot be relied on yet."""
    # A time that lies ahead, because a clock was set back, may come a second time.
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


def read_cached(calls: SystemCalls, path: str, size: int, start: int, length: int) -> tuple[bytes, Hashable] | None:
    """A range, if all of it is in the page cache: short enough work for the event loop. None if it is not.

    With it comes the version of the file.
    """
    fd, seen = open_file(calls, path, size)
    try:
        data = calls.pread_nowait(fd, length, start)
    except BlockingIOError:
        return None
    finally:
        calls.close(fd)
    return (data, seen) if len(data) == length else None


def open_and_read(
    calls: SystemCalls, path: str, size: int, start: int, stop: int
) -> tuple[bytes, Hashable, io.FileIO | None]:
    """The first piece of a range, the version, and the file if there is more: opened and read on one thread."""
    length = stop - start
    fd, seen = open_file(calls, path, size)
    try:
        first = read_exactly(calls, fd, length if length <= WHOLE else PIECE, start)
        if length > WHOLE:
            # An io object closes itself should its owner be lost; a bare descriptor would leak.
            file, fd = io.FileIO(fd), -1
            return first, seen, file
    finally:
        if fd >= 0:
            calls.close(fd)
    return first, seen, None


def close_unclaimed(future: Future[tuple[bytes, Hashable, io.FileIO | None]]) -> None:
    """Close the file of an `open_and_read` whose caller was cancelled meanwhile."""
    if not future.cancelled() and future.exception() is None:
        _, _, file = future.result()
        if file is not None:
            file.close()


def submit(executor: Executor | None, function: Callable[..., _T], *args: object) -> Future[_T]:
    """Hand work to the store's threads; raises BlobStoreError if the store is not open (any more)."""
    if executor is not None:
        try:
            return executor.submit(partial(function, *args))
        except RuntimeError as error:  # it was shut down between a reader's pieces
            raise BlobStoreError("The blob store is closed.") from error
    raise BlobStoreError("The blob store is not open.")
