"""The in-memory API key repository keeps the contract."""

import pytest

from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from tests.conformance.contracts.api_key_repository import ApiKeyRepositoryContract, KeyStorage


class MemoryKeys(KeyStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def repository(self) -> MemoryApiKeyRepository:
        return MemoryApiKeyRepository(self._storage)

    def users(self) -> MemoryUserRepository:
        return MemoryUserRepository(self._storage)

    def stored(self) -> dict[str, tuple[str, str]]:
        return {key_id: (key.username, key.digest) for key_id, key in self._storage.api_keys.items()}

    def open_handles(self) -> int:
        return 0


class TestMemoryApiKeyRepository(ApiKeyRepositoryContract):
    adapter = MemoryApiKeyRepository

    @pytest.fixture
    def storage(self) -> MemoryKeys:
        return MemoryKeys()
