"""The blob store in a folder of the file system."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pixyproxy.adapters.filesystem import durable, reader
from pixyproxy.adapters.filesystem.error_translation import blob_error
from pixyproxy.adapters.filesystem.layout import Layout, check_guid
from pixyproxy.adapters.filesystem.mount import Mount, unusable
from pixyproxy.adapters.filesystem.sidecar_text import decode, encode
from pixyproxy.adapters.filesystem.syscalls import NOWAIT, SystemCalls
from pixyproxy.adapters.filesystem.thumbnail_store import Derivatives
from pixyproxy.adapters.filesystem.writer import Writer
from pixyproxy.adapters.filesystem.writes import Writes
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError, BlobStoreFullError
from pixyproxy.ports.blob_store import BlobReader, BlobStore

READ_THREADS = 8
CACHED_READ_MAX = 2 * 1024 * 1024
"""Bytes up to which a range in the page cache is read on the event loop instead of a thread."""

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class FilesystemBlobStore(BlobStore):
    """Keeps each image as `ab/cd/GUID.bin` with `ab/cd/GUID.json` beside it, both flushed to the disk.

    Derivatives are kept as `derived/ab/cd/GUID.NAME`.

    `rescue_dirs` are tried in order by `rescue` when the store's own folder takes no more. `min_free_bytes` is the
    room below which the store calls itself full. For `trial_s` seconds it is not tried again whether the folder can be
    written. `calls` are the system calls; tests replace them.
    Needs a POSIX system, and hard links where an image is put again.
    """

    def __init__(
        self,
        root: Path,
        *,
        rescue_dirs: Sequence[Path] = (),
        min_free_bytes: int = 64 * 1024 * 1024,
        trial_s: float = 1.0,
        calls: SystemCalls | None = None,
    ) -> None:
        self._root = root.absolute()
        self._rescue_dirs = tuple(folder.absolute() for folder in rescue_dirs)
        self._min_free_bytes = min_free_bytes
        self._calls = calls or SystemCalls()
        self._layout = Layout(self._root)
        self._mount = Mount(self._root, self._calls)
        self._writer = Writer(self._layout, self._calls)
        self._writes = Writes()
        self._derivatives = Derivatives(self._layout, self._calls)
        self._reads: ThreadPoolExecutor | None = None
        self._cached_reads = bool(NOWAIT)
        self._trial_s = trial_s
        self._tried_until = 0.0

    async def open(self) -> None:
        """Create the folder durably if it is not there; raises BlobStoreError if that or using it is impossible."""
        if self._reads is not None:
            return
        self._reads = ThreadPoolExecutor(READ_THREADS, "blob-read")
        try:
            await self._run("open its folder", self._prepare)
        except BaseException:
            await self.close()
            raise
        self._writes.open()

    async def close(self) -> None:
        """Wait for work under way and end the threads."""
        reads, self._reads = self._reads, None
        self._tried_until = 0.0
        await self._writes.close()
        if reads is not None:
            await asyncio.to_thread(reads.shutdown)

    async def check_writable(self) -> None:
        """Try it out, unless it went well a moment ago: generations take longer than that."""
        if self._tried_until < time.monotonic():
            await self._run("store a picture", self._check_writable)
            self._tried_until = time.monotonic() + self._trial_s

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        check_guid(guid)
        text = encode(sidecar)
        with _naming("store a picture"):
            await self._writes.run(guid, self._put, guid, data, text)

    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Keep the bytes in `aside` below the root, or in the first of the rescue folders that takes them.

        Returns the path of the file, which is for the operator's eyes only.
        """
        check_guid(guid)
        with _naming("keep a picture aside"):
            return await self._writes.run(guid, self._keep_aside, guid, data, encode(sidecar))

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        """As the port says; raises ValueError for a range that is not within `size`."""
        path = self._layout.image(guid)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise ValueError("the range is not within the size")
        if self._cached_reads and stop - start <= CACHED_READ_MAX and self._reads is not None:
            cached = self._read_cached(path, size, start, stop - start)
            if cached is not None:
                return reader.FileBlobReader(*cached, calls=self._calls)
        future = reader.submit(self._reads, reader.open_and_read, self._calls, path, size, start, stop)
        try:
            first, version, file = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(reader.close_unclaimed)
            raise
        except OSError as error:
            raise self._read_error(error) from error
        return reader.FileBlobReader(
            first, version, calls=self._calls, executor=self._reads, file=file, position=start + len(first), stop=stop
        )

    async def location(self, guid: str, *, size: int) -> str | None:
        path = self._layout.image(guid)
        try:
            if self._cached_reads and self._reads is not None:
                reader.look_at(self._calls, path, size)  # no more work for the event loop than `read` is
            else:
                await asyncio.wrap_future(reader.submit(self._reads, reader.look_at, self._calls, path, size))
        except OSError as error:
            raise self._read_error(error) from error
        return self._layout.location(guid)

    def _read_cached(self, path: str, size: int, start: int, length: int) -> tuple[bytes, Hashable] | None:
        try:
            return reader.read_cached(self._calls, path, size, start, length)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise self._read_error(error) from error
            # A file system that cannot tell what is cached (NFS): files are no more opened on the event loop.
            _log.info("Reading from the page cache is given up: %s", error)
            self._cached_reads = False
            return None

    async def read_sidecar(self, guid: str) -> dict[str, Any]:
        path = self._layout.sidecar(guid)
        future = reader.submit(self._reads, Path(path).read_bytes)
        try:
            text = await asyncio.wrap_future(future)
        except OSError as error:
            raise self._read_error(error) from error
        return decode(text)

    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        check_guid(guid)
        with _naming("describe a picture"):
            await self._writes.run(guid, self._replace_sidecar, guid, encode(sidecar))

    async def delete(self, guid: str) -> None:
        check_guid(guid)
        with _naming("delete a picture"):
            await self._writes.run(guid, self._delete, guid)

    async def put_derivative(self, guid: str, name: str, data: bytes) -> None:
        self._derivatives.path(guid, name)
        with _naming("keep what is derived from a picture"):
            await self._writes.run(guid, self._put_derivative, guid, name, data)

    async def read_derivative(self, guid: str, name: str) -> bytes | None:
        self._derivatives.path(guid, name)
        return await self._run("read what is derived from a picture", self._read_derivative, guid, name)

    async def _run(self, action: str, function: Callable[..., _T], *args: object) -> _T:
        """The result of blocking work that writes for no image."""
        with _naming(action):
            return await asyncio.wrap_future(reader.submit(self._reads, function, *args))

    def _prepare(self) -> None:
        durable.make_folders(self._calls, self._root)
        self._mount.remember()
        self._require_writable()

    def _require_writable(self) -> None:
        self._mount.require()
        if not self._calls.may_write(self._root):
            raise unusable("the service may not write to its folder, or the file system is mounted read-only")

    def _check_writable(self) -> None:
        self._require_writable()
        self._require_room()
        self._writer.probe()

    def _require_room(self) -> None:
        room = self._calls.statvfs(self._root)
        # Some file systems (btrfs) make inodes as they are needed and report none at all.
        if room.f_bavail * room.f_frsize < self._min_free_bytes or (room.f_files and not room.f_favail):
            raise BlobStoreFullError("Not enough space is left in the blob store.")

    def _put(self, guid: str, data: bytes, sidecar: bytes) -> None:
        self._mount.require()
        self._writer.put(guid, data, sidecar)

    def _replace_sidecar(self, guid: str, sidecar: bytes) -> None:
        self._mount.require()
        try:
            self._writer.replace_sidecar(guid, sidecar)
        except FileNotFoundError:
            self._mount.require()
            raise BlobMissingError("The picture is not in the blob store.") from None

    def _delete(self, guid: str) -> None:
        self._mount.require()
        self._writer.delete(guid)
        self._derivatives.drop(guid)

    def _put_derivative(self, guid: str, name: str, data: bytes) -> None:
        self._mount.require()
        self._require_room()  # the last of it is for pictures
        self._derivatives.put(guid, name, data)

    def _read_derivative(self, guid: str, name: str) -> bytes | None:
        try:
            return self._derivatives.read(guid, name)
        except FileNotFoundError:
            self._mount.require()
            return None

    def _keep_aside(self, guid: str, data: bytes, sidecar: bytes) -> str:
        failure: OSError | BlobStoreError | None = None
        for folder in (self._layout.aside, *self._rescue_dirs):
            try:
                if folder == self._layout.aside:
                    self._mount.require()  # which must not be made anew where its disk is missing
                kept = self._writer.rescue(folder, guid, data, sidecar)
            except (OSError, BlobStoreError) as error:
                _log.error("The picture of image %s cannot be kept in %s: %s", guid, folder, error)
                failure = failure or error
            else:
                _log.error("THE PICTURE OF IMAGE %s IS KEPT ASIDE, AND NOT SERVED: %s", guid, kept)
                return str(kept)
        _log.critical("THE PICTURE OF IMAGE %s IS LOST: NO FOLDER TAKES ITS %d BYTES", guid, len(data))
        raise failure or BlobStoreError("There is no folder to keep a picture aside.")

    def _read_error(self, error: OSError) -> BlobStoreError:
        """Missing bytes are missing only while the folder they should be in is there."""
        if error.errno != errno.ENOENT:
            return blob_error(error, "read a picture")
        try:
            self._mount.require()
        except BlobStoreError as outage:
            return outage
        return BlobMissingError("The picture is not in the blob store.")


@contextmanager
def _naming(action: str) -> Iterator[None]:
    """The one place where OSErrors become domain errors: those of `action`."""
    try:
        yield
    except OSError as error:
        raise blob_error(error, action) from error
