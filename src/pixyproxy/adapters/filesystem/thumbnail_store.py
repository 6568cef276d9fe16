"""The thumbnail store in a folder of the file system."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from pixyproxy.adapters.filesystem import durable_files, reader, scan
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.store_folder import MIN_FREE_BYTES, StoreFolder
from pixyproxy.adapters.filesystem.threads import FileThreads
from pixyproxy.ports.blob_store import require_canonical_guid
from pixyproxy.ports.thumbnail_store import ThumbnailStore, is_thumbnail_name, require_thumbnail_name

THREADS = 4


class FilesystemThumbnailStore(ThumbnailStore):
    """The files `derived/ab/cd/GUID.NAME` in the folder of a `FilesystemBlobStore`.

    The name of a thumbnail is not flushed, so a crash may lose it. Its bytes are: otherwise the name could outlive
    them, and a file that is cut short be taken for a whole one. `min_free_bytes` is the room left to pictures.
    `calls` are the system calls, which tests replace.
    """

    def __init__(self, root: Path, *, min_free_bytes: int = MIN_FREE_BYTES, calls: SystemCalls | None = None) -> None:
        self._folder = StoreFolder(root, calls)
        self._calls = self._folder.calls
        self._min_free_bytes = min_free_bytes
        self._threads = FileThreads(THREADS, "thumbnails")

    async def open(self) -> None:
        """Start the threads; raises BlobStoreError if the store's folder does not exist, and never creates it."""
        await self._threads.open(self._folder.remember)

    async def close(self) -> None:
        """Wait for work under way and end the threads."""
        await self._threads.close()

    async def get(self, guid: str, name: str) -> bytes | None:
        path = self._path(guid, name)
        return await self._threads.run("read a thumbnail", self._read, path)

    async def put(self, guid: str, name: str, data: bytes) -> None:
        path = self._path(guid, name)
        await self._threads.run_in_order("store a thumbnail", guid, self._write, guid, path, data)

    async def delete(self, guid: str) -> None:
        """Remove all thumbnails of an image, half-written ones too."""
        folder = self._shard(guid)
        await self._threads.run_in_order("delete thumbnails", guid, self._remove_all, guid, folder)

    def walk(self, prefix: str = "") -> AsyncIterator[str]:
        return self._threads.iterate("list its thumbnails", self._guids(prefix), self._folder.require_present)

    def _path(self, guid: str, name: str) -> Path:
        require_thumbnail_name(name)
        return self._shard(guid) / f"{guid}.{name}"

    def _shard(self, guid: str) -> Path:
        require_canonical_guid(guid)
        return self._folder.thumbnails / guid[:2] / guid[2:4]

    def _read(self, path: Path) -> bytes | None:
        try:
            return reader.read_whole(self._calls, path)
        except FileNotFoundError:
            self._folder.require_present()
            return None

    def _write(self, guid: str, path: Path, data: bytes) -> None:
        self._folder.require_present()
        self._folder.require_room(self._min_free_bytes)
        for folder in (self._folder.thumbnails, path.parent.parent, path.parent):
            durable_files.make_folder(self._calls, folder)
        temporary = durable_files.write_temporary(self._calls, path.parent, guid, data)
        try:
            self._calls.rename(temporary, path)
        except BaseException:
            durable_files.remove_quietly(self._calls, temporary)
            raise

    def _remove_all(self, guid: str, folder: Path) -> None:
        self._folder.require_present()
        for name in scan.names(self._calls, folder):
            if name.startswith((f"{guid}.", f".{guid}.")):
                try:
                    self._calls.unlink(folder / name)
                except FileNotFoundError:
                    continue

    def _guids(self, prefix: str) -> Iterator[str]:
        """Yield the GUIDs that have thumbnails, shard by shard; nothing is kept open in between."""
        if scan.exists(self._calls, self._folder.thumbnails):
            for folder in scan.shards(self._calls, self._folder.thumbnails, prefix):
                found = {_guid_of(name, folder) for name in scan.names(self._calls, folder)}
                yield from sorted(guid for guid in found if guid is not None)


def _guid_of(file_name: str, folder: Path) -> str | None:
    """Return the GUID that a file of a shard belongs to, or None for a file that nothing would ever read."""
    guid, _, name = file_name.partition(".")
    try:
        require_canonical_guid(guid)
    except ValueError:
        return None
    return guid if is_thumbnail_name(name) and guid[:4] == folder.parent.name + folder.name else None
