"""The SQLite image repository fulfils the contract of searches."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests.conformance.contracts.image_search import ImageSearchContract, SearchStorage
from tests.fixtures.sql.bounds import TIGHT


class SQLiteSearch(SearchStorage):
    def __init__(self, path: Path) -> None:
        self._path = path

    def repository(self) -> SQLImageRepository:
        return SQLImageRepository(SQLiteDatabase(self._path))

    def frugal(self) -> SQLImageRepository:
        return SQLImageRepository(SQLiteDatabase(self._path), TIGHT)

    def maintenance(self) -> SQLMaintenanceRepository:
        return SQLMaintenanceRepository(SQLiteDatabase(self._path))

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(SQLiteDatabase(self._path))


class TestSQLiteImageSearch(ImageSearchContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteSearch:
        return SQLiteSearch(tmp_path / "pixyproxy.db")
