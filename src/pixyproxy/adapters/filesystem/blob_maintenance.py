"""Maintenance of the filesystem blob store: it is scanned, verified and put in order."""

import errno
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pixyproxy.adapters.filesystem import durable_files, reader, scan
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.quarantine import Quarantine
from pixyproxy.adapters.filesystem.rescue.adoption import Adoption
from pixyproxy.adapters.filesystem.store_folder import StoreFolder
from pixyproxy.adapters.filesystem.threads import FileThreads
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError, BlobStoreError
from pixyproxy.ports.blob_maintenance import BlobMaintenance, FileAccess, StoredBlob
from pixyproxy.ports.blob_store import require_canonical_guid

THREADS = 4


class FilesystemBlobMaintenance(BlobMaintenance):
    """Maintains the folder of a `FilesystemBlobStore`, which has the same `root` and `rescue_dirs`.

    Quarantined files are in `quarantine` below the root. Half-written files in rescue folders stay there: these are
    on another disk, and others may use them. `calls` are the system calls, which tests replace.
    """

    def __init__(self, root: Path, *, rescue_dirs: Sequence[Path] = (), calls: SystemCalls | None = None) -> None:
        self._folder = StoreFolder(root, calls)
        self._calls = self._folder.calls
        self._quarantine = Quarantine(self._folder)
        self._adoption = Adoption(self._folder, [folder.absolute() for folder in rescue_dirs], self._quarantine)
        self._threads = FileThreads(THREADS, "blob-maintenance")

    async def open(self) -> None:
        """Start the threads; raises BlobStoreError if the folder does not exist, and never creates it."""
        await self._threads.open(self._folder.remember)

    async def close(self) -> None:
        """Wait for work under way and end the threads."""
        await self._threads.close()

    def walk(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """Yield everything stored, with the file system's time of whichever file is newer."""
        # After each batch: folders that cannot be listed because the disk is gone look like empty ones.
        blobs = scan.stored_blobs(self._folder, prefix)
        return self._threads.iterate("list its pictures", blobs, self._folder.require_present)

    async def verify(self, guid: str, *, size: int, sha256: str) -> None:
        path = Path(self._folder.image(guid))
        await self._threads.run("verify a picture", self._verify, path, size, sha256)

    async def make_durable(self, guid: str) -> None:
        require_canonical_guid(guid)
        await self._threads.run("flush a picture", self._make_durable, guid)

    async def sizes(self, guids: Collection[str]) -> dict[str, int]:
        paths = {guid: Path(self._folder.image(guid)) for guid in guids}
        return await self._threads.run("look up pictures", self._sizes, paths)

    async def sidecars(self, guids: Collection[str]) -> dict[str, dict[str, Any] | BlobStoreError]:
        paths = {guid: Path(self._folder.sidecar(guid)) for guid in guids}
        return await self._threads.run("read sidecars", self._sidecars, paths)

    async def rescued(self) -> frozenset[str]:
        return await self._threads.run("look for rescued pictures", self._adoption.guids)

    async def adopt_rescued(self, guid: str) -> bool:
        require_canonical_guid(guid)
        return await self._threads.run("adopt a rescued picture", self._adoption.adopt, guid)

    async def rescued_responses(self) -> frozenset[str]:
        return await self._threads.run("look for rescued responses", self._adoption.response_guids)

    async def read_rescued_responses(self, guid: str) -> tuple[bytes, ...]:
        require_canonical_guid(guid)
        return await self._threads.run("read rescued responses", self._adoption.read_responses, guid)

    async def quarantine(self, guid: str) -> str:
        require_canonical_guid(guid)
        return await self._threads.run("quarantine a picture", self._quarantine.move_image, guid)

    async def inspect_access(self, *, apply: bool = False, deep: bool = True) -> FileAccess:
        return await self._threads.run("inspect its files", self._inspect_access, apply, deep)

    async def quarantine_debris(self, older_than: datetime, prefix: str = "") -> int:
        """Quarantine half-written files of pictures, rescued pictures and thumbnails."""
        if older_than.tzinfo is None:
            raise ValueError("a time without a time zone")
        count = 0
        found = self._threads.iterate(
            "list its folders", self._debris(older_than, prefix), self._folder.require_present
        )
        async for folder, debris in found:
            count += await self._threads.run("quarantine debris", self._quarantine.move_debris, folder, debris)
        return count

    def _verify(self, path: Path, size: int, sha256: str) -> None:
        try:
            reader.require_checksum(self._calls, path, size, sha256)
        except FileNotFoundError:
            raise self._missing() from None
        except OSError as error:
            # One bad sector must not keep the other pictures from being maintained.
            self._folder.require_present()
            if error.errno != errno.EIO:
                raise
            raise BlobCorruptError("The disk cannot read the stored picture any more.") from error

    def _make_durable(self, guid: str) -> None:
        image, sidecar = Path(self._folder.image(guid)), Path(self._folder.sidecar(guid))
        try:
            durable_files.flush_file(self._calls, image)
            durable_files.flush_file(self._calls, sidecar)
        except FileNotFoundError:
            raise self._missing() from None
        # Its own folder and the two above, in which the same interrupted put may have created it.
        for folder in (image.parent, image.parent.parent, self._folder.root):
            durable_files.flush_folder(self._calls, folder)

    def _missing(self) -> BlobMissingError:
        self._folder.require_present()
        return BlobMissingError("The picture is not in the blob store.")

    def _sizes(self, paths: dict[str, Path]) -> dict[str, int]:
        found = {guid: scan.file_status(self._calls, path) for guid, path in paths.items()}
        self._folder.require_present()
        return {guid: status.st_size for guid, status in found.items() if status is not None}

    def _sidecars(self, paths: dict[str, Path]) -> dict[str, dict[str, Any] | BlobStoreError]:
        return {guid: self._sidecar(path) for guid, path in paths.items()}

    def _sidecar(self, path: Path) -> dict[str, Any] | BlobStoreError:
        try:
            return reader.read_sidecar(self._calls, path)
        except FileNotFoundError:
            return self._missing()
        except BlobCorruptError as error:
            return error
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return BlobCorruptError("The disk cannot read the stored description any more.")

    def _inspect_access(self, apply: bool, deep: bool) -> FileAccess:
        found = scan.inspect_access(self._folder, apply=apply, deep=deep)
        self._folder.require_present()
        return found

    def _debris(self, older_than: datetime, prefix: str) -> Iterator[tuple[Path, list[Path]]]:
        for folder in self._folders(prefix):
            if debris := list(scan.half_written(self._folder, folder, older_than)):
                yield folder, debris

    def _folders(self, prefix: str) -> Iterator[Path]:
        # What is in no shard goes with the first one, so that a sweep of all shards lists it once.
        if prefix in {"", "00"}:
            yield self._folder.root
            yield self._folder.rescued
        yield from scan.shards(self._calls, self._folder.root, prefix)
        if scan.exists(self._calls, self._folder.thumbnails):
            yield from scan.shards(self._calls, self._folder.thumbnails, prefix)
