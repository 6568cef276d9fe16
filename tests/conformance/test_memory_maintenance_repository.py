"""The in-memory maintenance repository keeps the contract."""

from datetime import datetime

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from tests.conformance.contracts.maintenance_repository import Lease, MaintenanceRepositoryContract, MaintenanceStorage


class MemoryRecords(MaintenanceStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def repository(self) -> MemoryMaintenanceRepository:
        return MemoryMaintenanceRepository(self._storage)

    def images(self) -> MemoryImageRepository:
        return MemoryImageRepository(self._storage)

    def lease(self, guid: str) -> Lease:
        assert guid in self._storage.images
        return self._storage.leases.get(guid, (None, None))

    def set_lease(self, guid: str, owner: str | None, until: datetime | None) -> None:
        assert guid in self._storage.images
        self._storage.leases.pop(guid, None)
        if owner is not None and until is not None:
            self._storage.leases[guid] = (owner, until)

    def child_rows(self) -> int:
        return sum(len(image.request.tags + image.request.derived_from) for image in self._storage.images.values())

    def open_handles(self) -> int:
        return 0


class TestMemoryMaintenanceRepository(MaintenanceRepositoryContract):
    adapter = MemoryMaintenanceRepository

    @pytest.fixture
    def storage(self) -> MemoryRecords:
        return MemoryRecords()
