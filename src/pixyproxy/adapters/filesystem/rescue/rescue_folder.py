"""A folder of rescued bytes for a store that has no disk of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixyproxy.adapters.filesystem import durable_files
from pixyproxy.adapters.filesystem.durable_files import SystemCalls, former_rescue_dirs
from pixyproxy.adapters.filesystem.quarantine import Quarantine
from pixyproxy.adapters.filesystem.reader import read_whole
from pixyproxy.adapters.filesystem.rescue.adoption import Adoption, RescuedPicture
from pixyproxy.adapters.filesystem.store_folder import StoreFolder
from pixyproxy.adapters.filesystem.threads import FileThreads
from pixyproxy.adapters.filesystem.writer import Writer, encode_sidecar

THREADS = 2


class RescueFolder:
    """The files `GUID.<n>.bin` and `GUID.<n>.json` in a folder, as the filesystem store has them in its `aside`.

    Methods raise BlobStoreError if the folder cannot be used.
    """

    def __init__(self, root: Path, *, calls: SystemCalls | None = None) -> None:
        folder = StoreFolder(root, calls)
        folder.rescued = folder.root
        self._folder = folder
        self._calls = folder.calls
        self._writer = Writer(folder)
        self._adoption = Adoption(folder, former_rescue_dirs(folder.calls), Quarantine(folder))
        self._threads = FileThreads(THREADS, "blob-rescue")

    async def open(self) -> None:
        """Create the folder durably if it does not exist; opening twice does nothing."""
        await self._threads.open(self._prepare)

    async def close(self) -> None:
        """Wait for work under way and end the threads."""
        await self._threads.close()

    async def store(self, guid: str, data: bytes, sidecar: Mapping[str, Any]) -> str:
        """Store bytes and sidecar durably under a new number, and return the path of the bytes."""
        text = encode_sidecar(sidecar)
        return await self._threads.run_in_order("rescue a picture", guid, self._writer.rescue, guid, data, text)

    async def pictures(self, guid: str | None = None) -> Sequence[RescuedPicture]:
        """Return the rescued pictures (of one GUID) that agree with their sidecars, lower numbers first."""
        return await self._threads.run("look for rescued pictures", self._pictures, guid)

    async def read(self, guid: str, sha256: str) -> bytes | None:
        """Return the bytes of a rescued picture, or None if they are gone."""
        return await self._threads.run("read a rescued picture", self._read, guid, sha256)

    async def remove(self, guid: str, sha256: str, sidecar: bytes) -> None:
        """Remove the rescued pictures with these bytes and this sidecar, which are in their place now."""
        await self._threads.run("remove rescued pictures", self._remove, guid, sha256, sidecar)

    async def response_guids(self) -> frozenset[str]:
        """Return the GUIDs for which there are rescued bytes that are described as no picture."""
        return await self._threads.run("look for rescued responses", self._adoption.response_guids)

    async def read_responses(self, guid: str) -> tuple[bytes, ...]:
        """Return the rescued bytes of a GUID that are described as no picture."""
        return await self._threads.run("read rescued responses", self._adoption.read_responses, guid)

    def _prepare(self) -> None:
        durable_files.make_folders(self._calls, self._folder.root, durable_files.PRIVATE_FOLDER_MODE)
        self._folder.remember()

    def _pictures(self, guid: str | None) -> list[RescuedPicture]:
        pictures = list(self._adoption.whole_pictures(guid))
        self._folder.require_present()
        return pictures

    def _read(self, guid: str, sha256: str) -> bytes | None:
        for picture in self._pictures(guid):
            if picture.sha256 == sha256:
                return read_whole(self._calls, picture.path)
        return None

    def _remove(self, guid: str, sha256: str, sidecar: bytes) -> None:
        for picture in self._pictures(guid):
            if (picture.sha256, picture.sidecar) == (sha256, sidecar):
                self._adoption.remove_rescued(picture)
