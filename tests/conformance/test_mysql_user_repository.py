"""The MySQL user repository keeps the contract."""

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from tests.conformance.contracts.user_repository import UserRepositoryContract, UserStorage
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.mysql_storage import MySQLTables


class MySQLUsers(MySQLTables, UserStorage):
    def repository(self) -> SQLUserRepository:
        return SQLUserRepository(self.settings.database())

    def images(self) -> SQLImageRepository:
        return SQLImageRepository(self.settings.database())

    def stored(self) -> dict[str, tuple[str, str | None]]:
        rows = self.query("SELECT `user`, `password`, class_key FROM roster")
        return {name: (secret, key) for name, secret, key in rows}

    def add_by_hand(self, name: str, password_hash: str, class_key: str) -> None:
        insert = "INSERT INTO roster (`user`, `password`, class_key) VALUES (%s, %s, %s)"
        self.query(insert, name, password_hash, class_key)

    def delete_by_hand(self) -> None:
        self.query("DELETE FROM roster")


class TestMySQLUserRepository(UserRepositoryContract):
    adapter = SQLUserRepository
    database = MySQLDatabase

    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLUsers:
        return MySQLUsers(empty_mysql)
