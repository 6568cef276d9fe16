"""Thread pools for blocking file operations, whose operating system errors become domain errors here."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from pixyproxy.domain.errors import BlobStoreError, BlobStoreFullError

BATCH = 500
"""Items that an iterator yields on a thread before they are handed to the event loop."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REASONS = {
    errno.EACCES: "the service lacks the permission",
    errno.EPERM: "the service lacks the permission",
    errno.EROFS: "its file system is mounted read-only",
    errno.EIO: "its disk reports an input/output error",
    errno.ENOENT: "its folder is not there",
    errno.ENOTDIR: "its folder is not a folder",
    errno.EMFILE: "the service has too many files open",
    errno.ENFILE: "the machine has too many files open",
    errno.ESTALE: "its network file system has lost the folder",
    errno.ETIMEDOUT: "its network file system does not answer",
}

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def blob_error(error: OSError, action: str) -> BlobStoreError:
    """Log an OSError met during `action` ("store a picture") with its path, and return the domain error for it."""
    _log.error("The blob store cannot %s: %s", action, error)
    if error.errno in _FULL:
        return BlobStoreFullError("No space is left in the blob store.")
    reason = _REASONS.get(error.errno or 0) or f"error {errno.errorcode.get(error.errno or 0, 'unknown')}"
    return BlobStoreError(f"The blob store cannot {action}: {reason}.")


class FileThreads:
    """A pool of threads for file operations; those that write for one image can be run one after another."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._closing = True
        self._writes: dict[str, asyncio.Task[Any]] = {}

    async def open(self, prepare: Callable[[], object]) -> None:
        """Start the threads and run `prepare` on one; end them again if it fails. Opening twice does nothing."""
        if self._pool is not None:
            return
        self._pool = ThreadPoolExecutor(self._size, self._name)
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

    def submit(self, function: Callable[..., _T], *args: object) -> "Future[_T]":
        """Start a blocking function on a thread; raises BlobStoreError if the pool is not open."""
        if self._pool is None:
            raise BlobStoreError("The blob store is not open.")
        return self._pool.submit(partial(function, *args))

    async def run(self, action: str, function: Callable[..., _T], *args: object) -> _T:
        """Run a blocking function and return its result; an OSError becomes the domain error of `action`."""
        try:
            return await asyncio.wrap_future(self.submit(function, *args))
        except OSError as error:
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
