"""Maintenance of the blob store in a folder keeps the port's contract."""

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.blob_maintenance import FilesystemBlobMaintenance
from pixyproxy.adapters.filesystem.blob_store import FilesystemBlobStore
from tests.conformance.contracts.blob_maintenance import LONG_AGO, BlobMaintenanceContract, BlobMaintenanceHarness


class FilesystemHarness(BlobMaintenanceHarness):
    """A store in a folder, with rescued bytes in `aside` or in a rescue folder."""

    def __init__(self, root: Path, aside: Path) -> None:
        self.root = root
        self.aside_folder = aside

    def maintenance(self) -> FilesystemBlobMaintenance:
        missing = self.root.with_name("missing")
        return FilesystemBlobMaintenance(self.root, rescue_dirs=[missing, self.root.with_name("rescue")])

    def store(self) -> FilesystemBlobStore:
        return FilesystemBlobStore(self.root, min_free_bytes=0)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        away = self.root.with_name("away")
        self.root.rename(away)
        try:
            yield
        finally:
            away.rename(self.root)

    def plant(self, guid: str, image: bytes | None, sidecar: bytes | None) -> None:
        self._plant(self.root / guid[:2] / guid[2:4] / guid, image, sidecar)

    def plant_aside(self, guid: str, number: int, image: bytes | None, sidecar: bytes | None) -> None:
        self._plant(self.aside_folder / f"{guid}.{number}", image, sidecar)

    def plant_debris(self, guid: str, data: bytes) -> None:
        path = self.root / guid[:2] / guid[2:4] / f".{guid}.{uuid.uuid4().hex}.tmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))

    def place(self, guid: str) -> tuple[bytes | None, bytes | None]:
        return self._pair(self.root / guid[:2] / guid[2:4] / guid)

    def quarantined(self, where: str) -> tuple[bytes | None, bytes | None]:
        path = Path(where)
        assert path.parent == self.root / "quarantine"
        return self._pair(path.with_suffix(""))

    def aside(self) -> list[bytes]:
        folder = self.aside_folder
        return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []

    def contents(self) -> Counter[bytes]:
        folders = (self.root, self.root.with_name("rescue"))
        return Counter(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())

    @staticmethod
    def _plant(stem: Path, image: bytes | None, sidecar: bytes | None) -> None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix, data in ((".bin", image), (".json", sidecar)):
            path = stem.with_name(stem.name + suffix)
            if data is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)

    @staticmethod
    def _pair(stem: Path) -> tuple[bytes | None, bytes | None]:
        image, sidecar = (stem.with_name(stem.name + suffix) for suffix in (".bin", ".json"))
        return image.read_bytes() if image.exists() else None, sidecar.read_bytes() if sidecar.exists() else None


class TestFilesystemBlobMaintenance(BlobMaintenanceContract):
    adapter = FilesystemBlobMaintenance

    @pytest.fixture
    def harness(self, tmp_path: Path) -> FilesystemHarness:
        return FilesystemHarness(tmp_path / "images", tmp_path / "images" / "aside")


class TestFilesystemBlobMaintenanceFromARescueFolder(TestFilesystemBlobMaintenance):
    """The same with rescued bytes in a rescue folder."""

    @pytest.fixture
    def harness(self, tmp_path: Path) -> FilesystemHarness:
        return FilesystemHarness(tmp_path / "images", tmp_path / "rescue")
