"""The blob store in a folder keeps the port's contract."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.reader import SETTLED_NS
from pixyproxy.adapters.filesystem.store_folder import MARKER
from tests.conformance.contracts.blob_store import BlobStoreContract, BlobStoreHarness


class FullDisk(SystemCalls):
    """A disk on which files can be created but nothing can be written."""

    def write(self, fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no space left")


class FilesystemHarness(BlobStoreHarness):
    def __init__(self, root: Path) -> None:
        self.root = root

    def store(self) -> FilesystemBlobStore:
        return FilesystemBlobStore(self.root, min_free_bytes=0)

    def full_store(self) -> FilesystemBlobStore:
        return FilesystemBlobStore(self.root, min_free_bytes=0, calls=FullDisk())

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        away = self.root.with_name("away")
        self.root.rename(away)
        try:
            yield
        finally:
            away.rename(self.root)

    def image(self, guid: str) -> bytes | None:
        return self._read(self.root / guid[:2] / guid[2:4] / f"{guid}.bin")

    def sidecar(self, guid: str) -> bytes | None:
        return self._read(self.root / guid[:2] / guid[2:4] / f"{guid}.json")

    def plant(self, guid: str, image: bytes | None, sidecar: bytes | None) -> None:
        folder = self.root / guid[:2] / guid[2:4]
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in ((f"{guid}.bin", image), (f"{guid}.json", sidecar)):
            if data is None:
                (folder / name).unlink(missing_ok=True)
            else:
                (folder / name).write_bytes(data)

    def rescued(self, place: str) -> tuple[bytes, bytes]:
        return Path(place).read_bytes(), Path(place).with_suffix(".json").read_bytes()

    def at(self, location: str) -> bytes | None:
        return self._read(self.root / location)

    def settle(self, guid: str) -> None:
        """Wait until the file counts as settled: neither the clock nor a file's change time can be set."""
        changed = (self.root / guid[:2] / guid[2:4] / f"{guid}.bin").stat().st_ctime_ns
        while time.time_ns() - changed < SETTLED_NS:
            time.sleep(0.05)

    def exchange(self, identity: str | None) -> None:
        """Put another file in the place of the marker, as another folder would have one."""
        marker = self.root / MARKER
        marker.unlink(missing_ok=True)
        if identity is not None:
            marker.write_text(f"{identity}\n")

    def names(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}

    @staticmethod
    def _read(path: Path) -> bytes | None:
        return path.read_bytes() if path.exists() else None


class TestFilesystemBlobStore(BlobStoreContract):
    adapter = FilesystemBlobStore

    @pytest.fixture
    def harness(self, tmp_path: Path) -> FilesystemHarness:
        return FilesystemHarness(tmp_path / "images")
