"""The blob store in a folder of the file system."""

import asyncio
import errno
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pixyproxy.adapters.filesystem import durable_files, reader
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.store_folder import MIN_FREE_BYTES, StoreFolder
from pixyproxy.adapters.filesystem.threads import FileThreads, SpareFiles, blob_error
from pixyproxy.adapters.filesystem.writer import Writer, encode_sidecar
from pixyproxy.domain.errors import BlobMissingError, BlobStoreError
from pixyproxy.ports.blob_store import BlobReader, BlobStore, require_canonical_guid

READ_THREADS = 8
WRITE_THREADS = 12
"""Threads that wait for the disk most of the time: flushes that wait together share one write of the disk's journal."""
SPARE_FILES = 4
"""Open files that one write needs at a time: bytes and sidecar, then their folder, and one for the store's marker."""

_T = TypeVar("_T")


class FilesystemBlobStore(BlobStore):
    """A folder with `ab/cd/GUID.bin` and `ab/cd/GUID.json` of each image, both flushed to the disk.

    `rescue_dirs` are tried in order by `rescue` when the store's own folder takes no more. `min_free_bytes` is the
    room below which the store is full. A successful `check_writable` is not repeated for `probe_s` seconds.
    `calls` are the system calls, which tests replace. Needs a POSIX system, and hard links to store an image again.
    """

    def __init__(
        self,
        root: Path,
        *,
        rescue_dirs: Sequence[Path] = (),
        min_free_bytes: int = MIN_FREE_BYTES,
        probe_s: float = 1.0,
        calls: SystemCalls | None = None,
    ) -> None:
        self._folder = StoreFolder(root, calls)
        self._calls = self._folder.calls
        self._writer = Writer(self._folder, [folder.absolute() for folder in rescue_dirs])
        spare = SpareFiles(SPARE_FILES)
        self._reads = FileThreads(READ_THREADS, "blob-read", spare)
        self._writes = FileThreads(WRITE_THREADS, "blob-write", spare)
        self._min_free_bytes = min_free_bytes
        self._probe_s = probe_s
        self._writable_until = 0.0

    async def open(self) -> None:
        """Create the folder durably if it does not exist; raises BlobStoreError if it cannot be used."""
        await self._reads.open(self._prepare)
        await self._writes.open(self._folder.require_present)

    async def close(self) -> None:
        """Wait for work under way and end the threads."""
        self._writable_until = 0.0
        await self._writes.close()
        await self._reads.close()

    async def identity(self) -> str | None:
        return await self._reads.run("read its marker", self._read_identity)

    async def set_identity(self, identity: str) -> None:
        await self._writes.run("write its marker", self._folder.write_identity, identity)

    async def check_writable(self) -> None:
        """Try to write, unless that succeeded a moment ago; the folder may have been exchanged since then."""
        if self._writable_until < time.monotonic():
            await self._reads.run("store a picture", self._check_writable)
            self._writable_until = time.monotonic() + self._probe_s
        else:
            await self._reads.run("store a picture", self._folder.require_present)

    async def put(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> None:
        require_canonical_guid(guid)
        text = encode_sidecar(sidecar)
        await self._writes.run_in_order("store a picture", guid, self._writer.put, guid, data, text)

    async def rescue(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store the bytes in `aside` below the root, or in the first of the rescue folders that takes them.

        Returns the path of the file, which only the operator may see.
        """
        require_canonical_guid(guid)
        text = encode_sidecar(sidecar)
        return await self._writes.run_in_order("rescue a picture", guid, self._writer.rescue, guid, data, text)

    async def read(self, guid: str, *, size: int, start: int = 0, stop: int | None = None) -> BlobReader:
        path = self._folder.image(guid)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise ValueError("the range is not within the size")
        opening = self._reads.submit(reader.open_and_read, self._calls, path, size, start, stop)
        try:
            first, version, file = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(reader.close_unclaimed)
            raise
        except OSError as error:
            raise self._read_error(error) from error
        return reader.FileBlobReader(
            first, version, calls=self._calls, threads=self._reads, file=file, position=start + len(first), stop=stop
        )

    async def location(self, guid: str, *, size: int) -> str | None:
        await self._read(reader.require_file, self._folder.image(guid), size)
        return self._folder.location(guid)

    async def read_sidecar(self, guid: str) -> dict[str, Any]:
        return await self._read(reader.read_sidecar, Path(self._folder.sidecar(guid)))

    async def replace_sidecar(self, guid: str, sidecar: Mapping[str, Any]) -> None:
        require_canonical_guid(guid)
        text = encode_sidecar(sidecar)
        await self._writes.run_in_order("describe a picture", guid, self._writer.replace_sidecar, guid, text)

    async def delete(self, guid: str) -> None:
        require_canonical_guid(guid)
        await self._writes.run_in_order("delete a picture", guid, self._writer.delete, guid)

    def _prepare(self) -> None:
        durable_files.make_folders(self._calls, self._folder.root)
        self._folder.remember()
        self._folder.require_writable()

    def _read_identity(self) -> str | None:
        """Return the identity in the marker; a folder that is gone is not one without an identity."""
        if not self._calls.is_dir(self._folder.root):
            self._folder.require_present()
        return self._folder.read_identity()

    def _check_writable(self) -> None:
        self._folder.require_writable()
        self._folder.require_room(self._min_free_bytes)
        self._writer.probe()

    async def _read(self, function: Callable[..., _T], *args: object) -> _T:
        try:
            return await asyncio.wrap_future(self._reads.submit(function, self._calls, *args))
        except OSError as error:
            raise self._read_error(error) from error

    def _read_error(self, error: OSError) -> BlobStoreError:
        """Return the domain error; a file is missing only while the store's folder is there."""
        if error.errno != errno.ENOENT:
            return blob_error(error, "read a picture")
        try:
            self._folder.require_present()
        except BlobStoreError as outage:
            return outage
        return BlobMissingError("The picture is not in the blob store.")
