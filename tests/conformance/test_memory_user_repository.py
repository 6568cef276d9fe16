"""The in-memory user repository keeps the contract."""

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.domain.user import User
from tests.conformance.contracts.user_repository import UserRepositoryContract, UserStorage


class MemoryUsers(UserStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def repository(self) -> MemoryUserRepository:
        return MemoryUserRepository(self._storage)

    def images(self) -> MemoryImageRepository:
        return MemoryImageRepository(self._storage)

    def stored(self) -> dict[str, tuple[str, str | None]]:
        return {name: (user.password_hash, user.class_key) for name, user in self._storage.users.items()}

    def add_by_hand(self, name: str, password_hash: str, class_key: str) -> None:
        self._storage.users[name] = User(name, class_key, password_hash)

    def delete_by_hand(self) -> None:
        self._storage.users.clear()

    def open_handles(self) -> int:
        return 0


class TestMemoryUserRepository(UserRepositoryContract):
    adapter = MemoryUserRepository

    @pytest.fixture
    def storage(self) -> MemoryUsers:
        return MemoryUsers()
