"""The in-memory image repository keeps the contract."""

from typing import Any

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from tests.conformance.contracts.image_repository import ImageRepositoryContract, ImageStorage


class MemoryImages(ImageStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def repository(self) -> MemoryImageRepository:
        return MemoryImageRepository(self._storage)

    def stored(self, guid: str) -> dict[str, Any] | None:
        image = self._storage.images.get(guid)
        columns = ("guid", "filename", "prompt", "author", "status", "visibility")
        return image and {column: getattr(image, column) for column in columns}

    def child_rows(self) -> int:
        return sum(len(image.tags + image.derived_from) for image in self._storage.images.values())

    def delete_by_hand(self) -> None:
        self._storage.images.clear()

    def open_handles(self) -> int:
        return 0


class TestMemoryImageRepository(ImageRepositoryContract):
    adapter = MemoryImageRepository

    @pytest.fixture
    def storage(self) -> MemoryImages:
        return MemoryImages()
