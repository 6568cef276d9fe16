"""The in-memory session repository keeps the contract."""

import pytest

from pixyproxy.adapters.memory.session_repository import MemorySessionRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from tests.conformance.contracts.session_repository import SessionRepositoryContract, SessionStorage


class MemorySessions(SessionStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def repository(self) -> MemorySessionRepository:
        return MemorySessionRepository(self._storage)

    def users(self) -> MemoryUserRepository:
        return MemoryUserRepository(self._storage)

    def stored(self) -> dict[str, str]:
        return {digest: session.username for digest, session in self._storage.sessions.items()}

    def open_handles(self) -> int:
        return 0


class TestMemorySessionRepository(SessionRepositoryContract):
    adapter = MemorySessionRepository

    @pytest.fixture
    def storage(self) -> MemorySessions:
        return MemorySessions()
