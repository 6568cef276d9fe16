"""Maintenance of the blob store in memory keeps the port's contract."""

from collections import Counter
from contextlib import AbstractContextManager

import pytest

from pixyproxy.adapters.memory.blob_maintenance import MemoryBlobMaintenance
from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from tests.conformance.contracts.blob_maintenance import BlobMaintenanceContract, BlobMaintenanceHarness


class MemoryHarness(BlobMaintenanceHarness):
    def __init__(self) -> None:
        self.storage: dict[str, tuple[bytes | None, str | None]] = {}

    def maintenance(self) -> MemoryBlobMaintenance:
        return MemoryBlobMaintenance(self.storage)

    def store(self) -> MemoryBlobStore:
        return MemoryBlobStore(self.storage)

    def cut_off(self) -> AbstractContextManager[None]:
        pytest.skip("memory is always there")

    def plant(self, guid: str, image: bytes | None, sidecar: bytes | None) -> None:
        self.storage[guid] = (image, None if sidecar is None else sidecar.decode())

    def plant_aside(self, guid: str, number: int, image: bytes | None, sidecar: bytes | None) -> None:
        self.plant(f"aside/{guid}.{number}", image, sidecar)

    def plant_debris(self, guid: str, data: bytes) -> None:
        pytest.skip("nothing is ever half-written in memory")

    def place(self, guid: str) -> tuple[bytes | None, bytes | None]:
        data, text = self.storage.get(guid, (None, None))
        return data, None if text is None else text.encode()

    def quarantined(self, where: str) -> tuple[bytes | None, bytes | None]:
        return self.place(where.removeprefix("memory:"))

    def aside(self) -> list[bytes]:
        kept = [self.place(key) for key in self.storage if key.startswith("aside/")]
        return [one for pair in kept for one in pair if one is not None]

    def contents(self) -> Counter[bytes]:
        return Counter(one for key in self.storage for one in self.place(key) if one is not None)


class TestMemoryBlobMaintenance(BlobMaintenanceContract):
    adapter = MemoryBlobMaintenance

    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()
