"""The SQLite user repository keeps the contract."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.user_repository import SQLiteUserRepository
from tests.conformance.contracts.user_repository import UserRepositoryContract, UserStorage
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteUsers(SQLiteFile, UserStorage):
    def repository(self) -> SQLiteUserRepository:
        return SQLiteUserRepository(SQLiteDatabase(self.path))

    def stored(self) -> dict[str, tuple[str, str | None]]:
        return {name: (secret, key) for name, secret, key in self.query("SELECT user, password, class_key FROM roster")}

    def delete_by_hand(self) -> None:
        self.query("DELETE FROM roster")


class TestSQLiteUserRepository(UserRepositoryContract):
    adapter = SQLiteUserRepository

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteUsers:
        return SQLiteUsers(tmp_path)
