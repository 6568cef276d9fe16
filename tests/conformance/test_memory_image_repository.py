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
        if image is None:
            return None
        columns = ("guid", "filename", "prompt", "author", "visibility")
        return {column: getattr(image.request, column) for column in columns} | {"status": image.status}

    def child_rows(self) -> int:
        return sum(len(image.request.tags + image.request.derived_from) for image in self._storage.images.values())

    def delete_by_hand(self) -> None:
        self._storage.images.clear()

    def open_handles(self) -> int:
        return 0


class TestMemoryImageRepository(ImageRepositoryContract):
    adapter = MemoryImageRepository

    @pytest.fixture
    def storage(self) -> MemoryImages:
        return MemoryImages()
