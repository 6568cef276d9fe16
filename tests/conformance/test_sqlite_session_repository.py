"""The SQLite session repository keeps the contract."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sql.repositories.session_repository import SQLSessionRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests.conformance.contracts.session_repository import SessionRepositoryContract, SessionStorage, make_session
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteSessions(SQLiteFile, SessionStorage):
    def repository(self) -> SQLSessionRepository:
        return SQLSessionRepository(SQLiteDatabase(self.path))

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(SQLiteDatabase(self.path))

    def stored(self) -> dict[str, str]:
        return dict(self.query("SELECT digest, user FROM sessions"))


class TestSQLiteSessionRepository(SessionRepositoryContract):
    adapter = SQLSessionRepository
    database = SQLiteDatabase

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteSessions:
        return SQLiteSessions(tmp_path)

    async def test_deleting_a_user_by_hand_deletes_the_sessions(
        self, storage: SQLiteSessions, repository: SQLSessionRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_session(str(number), name))
        storage.query("DELETE FROM roster WHERE user = 'alice'")
        assert storage.stored() == {"2": "bob"}
        assert await repository.find("0") is None
