"""Thread pools for blocking file operations, whose operating system errors become domain errors here."""

import asyncio
import errno
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from pixyproxy.domain.errors import BlobStoreError, BlobStoreExhaustedError, BlobStoreFullError

BATCH = 500
"""Items that an iterator yields on a thread before they are handed to the event loop."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_FILES = {errno.EMFILE, errno.ENFILE}
"""Errors of a process, or of a machine, that has as many files open as it may."""
_EXHAUSTED = _NO_FILES | {errno.ENOMEM, errno.EAGAIN}
_REASONS = {
    errno.EACCES: "the service lacks the permission",
    errno.EPERM: "the service lacks the permission",
    errno.EROFS: "its file system is mounted read-only",
    errno.EIO: "its disk reports an input/output error",
    errno.ENOENT: "its folder is not there",
    errno.ENOTDIR: "its folder is not a folder",
    errno.EMFILE: "the service has too many files open",
    errno.ENFILE: "the machine has too many files open",
    errno.ENOMEM: "no memory is left",
    errno.EAGAIN: "the machine is short of resources",
    errno.ESTALE: "its network file system has lost the folder",
    errno.ETIMEDOUT: "its network file system does not answer",
}

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def is_exhausted(error: Exception) -> bool:
    """Return whether this process or machine only lacks open files, memory or threads."""
    if isinstance(error, OSError):
        return error.errno in _EXHAUSTED
    return isinstance(error, MemoryError | BlobStoreExhaustedError)


def blob_error(error: OSError | MemoryError, action: str) -> BlobStoreError:
    """Return the domain error for an error met during `action` ("store a picture"), and log it with its path.

    Exhaustion is left to the log of the caller, who tries again and again.
    """
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno or 0
    reason = _REASONS.get(number) or f"error {errno.errorcode.get(number, 'unknown')}"
    message = f"The blob store cannot {action}: {reason}."
    if is_exhausted(error):
        return BlobStoreExhaustedError(message)
    _log.error("The blob store cannot %s: %s", action, error)
    if number in _FULL:
        return BlobStoreFullError("No space is left in the blob store.")
    return BlobStoreError(message)


class SpareFiles:
    """Open files held in reserve, which one operation at a time may have closed if it finds no other left."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._files: list[int] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open the files, or as many of them as can be."""
        with self._lock:
            self._fill()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._drop()

    def run(self, operation: Callable[[], _T]) -> _T:
        """Return the result of an operation, repeated without the spare files if it finds no open file left."""
        if len(self._files) < self._count:
            self.open()
        try:
            return operation()
        except OSError as error:
            if error.errno not in _NO_FILES or not self._count:
                raise
        with self._lock:
            self._drop()
            try:
                return operation()
            finally:
                self._fill()

    def _fill(self) -> None:
        try:
            while len(self._files) < self._count:
                self._files.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return  # they are opened when there is room for them again

    def _drop(self) -> None:
        while self._files:
            os.close(self._files.pop())


class FileThreads:
    """A pool of threads for file operations; those that write for one image can be run one after another.

    An operation that finds no open file left is repeated with those of `spare`.
    """

    def __init__(self, size: int, name: str, spare: SpareFiles | None = None) -> None:
        self._size = size
        self._name = name
        self._spare = spare or SpareFiles(0)
        self._pool: ThreadPoolExecutor | None = None
        self._closing = True
        self._writes: dict[str, asyncio.Task[Any]] = {}

    async def open(self, prepare: Callable[[], object]) -> None:
        """Start the threads and run `prepare` on one; end them again if it fails. Opening twice does nothing."""
        if self._pool is not None:
            return
        self._pool = ThreadPoolExecutor(self._size, self._name)
        self._spare.open()
        self._closing = False
        try:
            await self.run("open its folder", prepare)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Refuse new work, wait for work under way and end the threads."""
        self._closing = True
        while self._writes:
            await asyncio.wait(tuple(self._writes.values()))
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
            self._spare.close()

    def submit(self, function: Callable[..., _T], *args: object) -> "Future[_T]":
        """Start a blocking function on a thread.

        Raises:
            BlobStoreExhaustedError: no thread can be started.
            BlobStoreError: the pool is not open.
        """
        if self._pool is None:
            raise BlobStoreError("The blob store is not open.")
        try:
            return self._pool.submit(self._spare.run, partial(function, *args))
        except RuntimeError as error:
            raise BlobStoreExhaustedError("No thread can be started for the blob store.") from error

    async def run(self, action: str, function: Callable[..., _T], *args: object) -> _T:
        """Run a blocking function and return its result; an OSError becomes the domain error of `action`."""
        try:
            return await asyncio.wrap_future(self.submit(function, *args))
        except (OSError, MemoryError) as error:
            raise blob_error(error, action) from error

    async def run_in_order(self, action: str, guid: str, function: Callable[..., _T], *args: object) -> _T:
        """Run a write of an image once the earlier ones have ended; it goes on if the caller is cancelled.

        Two that interleave could leave the sidecar of one with the bytes of the other.
        """
        if self._closing:
            raise BlobStoreError("The blob store is not open.")
        task = asyncio.create_task(self._run_after(self._writes.get(guid), action, function, *args))
        self._writes[guid] = task
        task.add_done_callback(partial(self._forget, guid))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(_log_failure, guid))
            raise

    async def iterate(self, action: str, items: Iterator[_T], check: Callable[[], object]) -> AsyncIterator[_T]:
        """Yield the items of a blocking iterator, which runs on a thread for a batch at a time; then comes `check`."""

        def next_batch() -> list[_T]:
            batch = list(islice(items, BATCH))
            check()
            return batch

        while batch := await self.run(action, next_batch):
            for item in batch:
                yield item

    async def _run_after(
        self, earlier: "asyncio.Task[Any] | None", action: str, function: Callable[..., _T], *args: object
    ) -> _T:
        if earlier is not None:
            await asyncio.wait([earlier])
        return await self.run(action, function, *args)

    def _forget(self, guid: str, task: "asyncio.Task[Any]") -> None:
        if self._writes.get(guid) is task:
            del self._writes[guid]


def _log_failure(guid: str, task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A write for image %s failed after its caller had gone: %s", guid, error)
