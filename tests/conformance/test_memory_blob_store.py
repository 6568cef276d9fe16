"""The blob store in memory keeps the port's contract."""

from contextlib import AbstractContextManager

import pytest

from pixyproxy.adapters.memory.blob_store import MemoryBlobStore
from tests.conformance.contracts.blob_store import BlobStoreContract, BlobStoreHarness


class MemoryHarness(BlobStoreHarness):
    def __init__(self) -> None:
        self.storage: dict[str, tuple[bytes | None, str | None]] = {}

    def store(self) -> MemoryBlobStore:
        return MemoryBlobStore(self.storage)

    def full_store(self) -> MemoryBlobStore:
        used = sum(len(data or b"") for data, _ in self.storage.values())
        return MemoryBlobStore(self.storage, capacity_bytes=used)

    def cut_off(self) -> AbstractContextManager[None]:
        pytest.skip("memory is always there")

    def image(self, guid: str) -> bytes | None:
        return self.storage.get(guid, (None, None))[0]

    def sidecar(self, guid: str) -> bytes | None:
        text = self.storage.get(guid, (None, None))[1]
        return None if text is None else text.encode()

    def plant(self, guid: str, image: bytes | None, sidecar: bytes | None) -> None:
        self.storage[guid] = (image, None if sidecar is None else sidecar.decode())

    def rescued(self, place: str) -> tuple[bytes, bytes]:
        data, text = self.storage[place.removeprefix("memory:")]
        assert data is not None
        assert text is not None
        return data, text.encode()

    def at(self, location: str) -> bytes | None:
        raise AssertionError("it has no files")

    def settle(self, guid: str) -> None:
        """Other bytes are another object at once."""

    def exchange(self, identity: str | None) -> None:
        self.storage["store/identity"] = (None, identity)

    def names(self) -> set[str]:
        return set(self.storage)


class TestMemoryBlobStore(BlobStoreContract):
    adapter = MemoryBlobStore

    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()
