"""The MySQL image repository keeps the contract."""

from typing import Any

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from tests.conformance.contracts.image_repository import ImageRepositoryContract, ImageStorage
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.mysql_storage import MySQLTables


class MySQLImages(MySQLTables, ImageStorage):
    def repository(self) -> SQLImageRepository:
        return SQLImageRepository(self.settings.database())

    def stored(self, guid: str) -> dict[str, Any] | None:
        columns = ("guid", "filename", "prompt", "author", "status", "visibility")
        rows = self.query(f"SELECT {', '.join(columns)} FROM images WHERE guid = %s", guid)
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    def child_rows(self) -> int:
        return self.count("image_postings")

    def delete_by_hand(self) -> None:
        self.query("DELETE FROM images")


class TestMySQLImageRepository(ImageRepositoryContract):
    adapter = SQLImageRepository
    database = MySQLDatabase

    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLImages:
        return MySQLImages(empty_mysql)
