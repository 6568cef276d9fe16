"""The in-memory image repository fulfils the contract of searches."""

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from tests.conformance.contracts.image_search import ImageSearchContract, SearchStorage


class MemorySearch(SearchStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def repository(self) -> MemoryImageRepository:
        return MemoryImageRepository(self._storage)

    def frugal(self) -> MemoryImageRepository:
        return MemoryImageRepository(self._storage, examined=7)

    def maintenance(self) -> MemoryMaintenanceRepository:
        return MemoryMaintenanceRepository(self._storage)

    def users(self) -> MemoryUserRepository:
        return MemoryUserRepository(self._storage)


class TestMemoryImageSearch(ImageSearchContract):
    @pytest.fixture
    def storage(self) -> MemorySearch:
        return MemorySearch()
