"""The SQLite image repository keeps the contract."""

from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests.conformance.contracts.image_repository import ImageRepositoryContract, ImageStorage
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteImages(SQLiteFile, ImageStorage):
    def repository(self) -> SQLImageRepository:
        return SQLImageRepository(SQLiteDatabase(self.path))

    def stored(self, guid: str) -> dict[str, Any] | None:
        columns = ("guid", "filename", "prompt", "author", "status", "visibility")
        rows = self.query(f"SELECT {', '.join(columns)} FROM images WHERE guid = ?", guid)
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    def child_rows(self) -> int:
        return self.count("image_postings")

    def delete_by_hand(self) -> None:
        self.query("DELETE FROM images")


class TestSQLiteImageRepository(ImageRepositoryContract):
    adapter = SQLImageRepository
    database = SQLiteDatabase

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteImages:
        return SQLiteImages(tmp_path)
