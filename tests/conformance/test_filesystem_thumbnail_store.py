"""The thumbnail store in a folder keeps the port's contract."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.adapters.filesystem.thumbnail_store import FilesystemThumbnailStore
from tests.conformance.contracts.thumbnail_store import ThumbnailStoreContract, ThumbnailStoreHarness


class FullDisk(SystemCalls):
    """A disk on which files can be created but nothing can be written."""

    def write(self, fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no space left")


class FilesystemHarness(ThumbnailStoreHarness):
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def store(self) -> FilesystemThumbnailStore:
        return FilesystemThumbnailStore(self.root, min_free_bytes=0)

    def full_store(self) -> FilesystemThumbnailStore:
        return FilesystemThumbnailStore(self.root, min_free_bytes=0, calls=FullDisk())

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        away = self.root.with_name("away")
        self.root.rename(away)
        try:
            yield
        finally:
            away.rename(self.root)

    def contents(self) -> list[bytes]:
        return [path.read_bytes() for path in self.root.rglob("*") if path.is_file()]


class TestFilesystemThumbnailStore(ThumbnailStoreContract):
    adapter = FilesystemThumbnailStore

    @pytest.fixture
    def harness(self, tmp_path: Path) -> FilesystemHarness:
        return FilesystemHarness(tmp_path / "images")
