"""The filesystem store as seen by those who look after it: searched, verified, put in order."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pixyproxy.adapters.filesystem import checksum, durable, reader, scan
from pixyproxy.adapters.filesystem.error_translation import blob_error
from pixyproxy.adapters.filesystem.layout import Layout, check_guid
from pixyproxy.adapters.filesystem.mount import Mount
from pixyproxy.adapters.filesystem.quarantine import Quarantine
from pixyproxy.adapters.filesystem.rescue import Adoption
from pixyproxy.adapters.filesystem.syscalls import SystemCalls
from pixyproxy.adapters.filesystem.thumbnail_store import Derivatives
from pixyproxy.domain.errors import BlobCorruptError, BlobMissingError
from pixyproxy.ports.blob_maintenance import BlobMaintenance, StoredBlob

VERIFY_THREADS = 4
SEARCH_THREADS = 2
BATCH = 500
"""Images that are looked up on a thread before the event loop has its turn."""

_T = TypeVar("_T")


class FilesystemBlobMaintenance(BlobMaintenance):
    """Looks after the folder of a `FilesystemBlobStore`, to which `root` and `rescue_dirs` are to be given alike.

    `calls` are the system calls; tests replace them. What is quarantined lies in `quarantine` below the root.
    Half-written files in rescue folders stay there: they are on another disk, and others may use the folder.
    """

    def __init__(self, root: Path, *, rescue_dirs: Sequence[Path] = (), calls: SystemCalls | None = None) -> None:
        self._calls = calls or SystemCalls()
        self._layout = Layout(root.absolute())
        self._mount = Mount(self._layout.root, self._calls)
        self._derivatives = Derivatives(self._layout, self._calls)
        self._quarantine = Quarantine(self._layout, self._calls)
        self._adoption = Adoption(
            self._layout, [folder.absolute() for folder in rescue_dirs], self._calls, self._quarantine
        )
        self._verifies: ThreadPoolExecutor | None = None
        self._searches: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Start the threads; raises BlobStoreError if the folder is not there, and never makes one."""
        if self._searches is not None:
            return
        self._verifies = ThreadPoolExecutor(VERIFY_THREADS, "blob-verify")
        self._searches = ThreadPoolExecutor(SEARCH_THREADS, "blob-search")
        try:
            await self._run(self._searches, "open its folder", self._prepare)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Wait for work under way and end the threads."""
        pools = [pool for pool in (self._verifies, self._searches) if pool is not None]
        self._verifies = self._searches = None
        for pool in pools:
            await asyncio.to_thread(pool.shutdown)

    async def walk(self) -> AsyncIterator[StoredBlob]:
        """As the port says; the times are those of the file system, of whichever file is newer."""
        found = scan.stored(self._calls, self._layout)
        while batch := await self._run(self._searches, "list its pictures", self._next_batch, found):
            for blob in batch:
                yield blob

    async def verify(self, guid: str, *, size: int, sha256: str) -> None:
        path = Path(self._layout.image(guid))
        await self._run(self._verifies, "verify a picture", self._verify, path, size, sha256)

    async def make_durable(self, guid: str) -> None:
        check_guid(guid)
        await self._run(self._verifies, "flush a picture", self._make_durable, guid)

    async def sizes(self, guids: Collection[str]) -> dict[str, int]:
        paths = {guid: Path(self._layout.image(guid)) for guid in guids}
        return await self._run(self._searches, "look up pictures", self._sizes, paths)

    async def rescued(self) -> frozenset[str]:
        """As the port says; a file that cannot be read is logged and not offered, a folder is an error."""
        return await self._run(self._searches, "look for pictures kept aside", self._kept_aside)

    async def adopt_rescued(self, guid: str) -> bool:
        check_guid(guid)
        return await self._run(self._searches, "adopt a picture kept aside", self._adopt, guid)

    async def quarantine(self, guid: str) -> str:
        """As the port says; returns the path of the bytes, or of the sidecar where there are none."""
        check_guid(guid)
        return await self._run(self._searches, "quarantine a picture", self._quarantine_image, guid)

    async def walk_derivatives(self) -> AsyncIterator[str]:
        found = self._derivatives.guids()
        while batch := await self._run(
            self._searches, "list what is derived from its pictures", self._next_batch, found
        ):
            for guid in batch:
                yield guid

    async def drop_derivatives(self, guid: str) -> None:
        check_guid(guid)
        await self._run(self._searches, "drop what is derived from a picture", self._drop_derivatives, guid)

    async def quarantine_debris(self, older_than: datetime) -> int:
        if older_than.tzinfo is None:
            raise ValueError("a time without a time zone")
        count, folders = 0, self._folders()
        while batch := await self._run(self._searches, "list its folders", self._next_batch, folders):
            count += await self._run(self._searches, "quarantine debris", self._move_debris, batch, older_than)
        return count

    async def _run(
        self, pool: ThreadPoolExecutor | None, action: str, function: Callable[..., _T], *args: object
    ) -> _T:
        """Run blocking work on the threads; the one place where its OSErrors become domain errors."""
        try:
            return await asyncio.wrap_future(reader.submit(pool, function, *args))
        except OSError as error:
            raise blob_error(error, action) from error

    def _prepare(self) -> None:
        self._mount.remember()
        self._mount.require()

    def _next_batch(self, found: Iterator[_T]) -> list[_T]:
        batch = list(islice(found, BATCH))
        # After it: folders that cannot be listed because the disk has gone look like empty ones.
        self._mount.require()
        return batch

    def _verify(self, path: Path, size: int, sha256: str) -> None:
        try:
            checksum.check(self._calls, path, size, sha256)
        except FileNotFoundError:
            raise self._missing() from None
        except OSError as error:
            # One bad sector must not keep everything else from being looked after.
            self._mount.require()
            if error.errno != errno.EIO:
                raise
            raise BlobCorruptError("The disk cannot read the stored picture any more.") from error

    def _make_durable(self, guid: str) -> None:
        image, sidecar = Path(self._layout.image(guid)), Path(self._layout.sidecar(guid))
        try:
            durable.flush_file(self._calls, image)
            durable.flush_file(self._calls, sidecar)
        except FileNotFoundError:
            raise self._missing() from None
        # Its own folder and the two above, in which it may have been made by the same interrupted put.
        for folder in (image.parent, image.parent.parent, self._layout.root):
            durable.flush_folder(self._calls, folder)

    def _missing(self) -> BlobMissingError:
        self._mount.require()
        return BlobMissingError("The picture is not in the blob store.")

    def _sizes(self, paths: dict[str, Path]) -> dict[str, int]:
        found = {guid: scan.file_status(self._calls, path) for guid, path in paths.items()}
        self._mount.require()
        return {guid: status.st_size for guid, status in found.items() if status is not None}

    def _kept_aside(self) -> frozenset[str]:
        guids = self._adoption.guids()
        self._mount.require()
        return guids

    def _adopt(self, guid: str) -> bool:
        self._mount.require()
        return self._adoption.adopt(guid)

    def _quarantine_image(self, guid: str) -> str:
        self._mount.require()
        moved = self._quarantine.move_image(guid)
        if moved is None:
            self._mount.require()
            raise BlobMissingError("There is nothing of the picture in the blob store.")
        return str(moved)

    def _drop_derivatives(self, guid: str) -> None:
        self._mount.require()
        self._derivatives.drop(guid)

    def _folders(self) -> Iterator[Path]:
        yield self._layout.root
        yield self._layout.aside
        yield from scan.shards(self._calls, self._layout.root)
        yield from self._derivatives.folders()

    def _move_debris(self, folders: list[Path], older_than: datetime) -> int:
        count = 0
        for folder in folders:
            debris = list(scan.half_written(self._calls, self._layout, folder, older_than))
            count += self._quarantine.move_debris(folder, debris)
        return count
