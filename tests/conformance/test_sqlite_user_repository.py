"""The SQLite user repository keeps the contract."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests.conformance.contracts.user_repository import UserRepositoryContract, UserStorage
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteUsers(SQLiteFile, UserStorage):
    def repository(self) -> SQLUserRepository:
        return SQLUserRepository(SQLiteDatabase(self.path))

    def images(self) -> SQLImageRepository:
        return SQLImageRepository(SQLiteDatabase(self.path))

    def stored(self) -> dict[str, tuple[str, str | None]]:
        return {name: (secret, key) for name, secret, key in self.query("SELECT user, password, class_key FROM roster")}

    def add_by_hand(self, name: str, password_hash: str, class_key: str) -> None:
        insert = "INSERT INTO roster (user, password, class_key) VALUES (?, ?, ?)"
        self.query(insert, name, password_hash, class_key)

    def delete_by_hand(self) -> None:
        self.query("DELETE FROM roster")


class TestSQLiteUserRepository(UserRepositoryContract):
    adapter = SQLUserRepository
    database = SQLiteDatabase

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteUsers:
        return SQLiteUsers(tmp_path)
