"""The SQLite image repository fulfils the contract of searches."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.adapters.sqlite.maintenance_repository import SQLiteMaintenanceRepository
from tests.conformance.contracts.image_search import ImageSearchContract, SearchStorage
from tests.fixtures.sql.bounds import TIGHT


class SQLiteSearch(SearchStorage):
    def __init__(self, path: Path) -> None:
        self._path = path

    def repository(self) -> SQLiteImageRepository:
        return SQLiteImageRepository(SQLiteDatabase(self._path))

    def frugal(self) -> SQLiteImageRepository:
        return SQLiteImageRepository(SQLiteDatabase(self._path), TIGHT)

    def maintenance(self) -> SQLiteMaintenanceRepository:
        return SQLiteMaintenanceRepository(SQLiteDatabase(self._path))


class TestSQLiteImageSearch(ImageSearchContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteSearch:
        return SQLiteSearch(tmp_path / "pixyproxy.db")
