"""The thumbnail store in memory keeps the port's contract."""

from contextlib import AbstractContextManager

import pytest

from pixyproxy.adapters.memory.thumbnail_store import MemoryThumbnailStore, Thumbnails
from tests.conformance.contracts.thumbnail_store import ThumbnailStoreContract, ThumbnailStoreHarness


class MemoryHarness(ThumbnailStoreHarness):
    def __init__(self) -> None:
        self.storage: Thumbnails = {}

    def store(self) -> MemoryThumbnailStore:
        return MemoryThumbnailStore(self.storage)

    def full_store(self) -> MemoryThumbnailStore:
        return MemoryThumbnailStore(self.storage, capacity_bytes=sum(map(len, self.storage.values())))

    def cut_off(self) -> AbstractContextManager[None]:
        pytest.skip("memory is always there")

    def contents(self) -> list[bytes]:
        return list(self.storage.values())


class TestMemoryThumbnailStore(ThumbnailStoreContract):
    adapter = MemoryThumbnailStore

    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()
