"""The SQLite ledger keeps the contract."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.ledger import SQLLedger
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests.conformance.contracts.ledger import LedgerStorage
from tests.conformance.contracts.ledger_usage import LedgerUsageContract
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteLedgerFile(SQLiteFile, LedgerStorage):
    def ledger(self) -> SQLLedger:
        return SQLLedger(SQLiteDatabase(self.path))

    def images(self) -> SQLImageRepository:
        return SQLImageRepository(SQLiteDatabase(self.path))

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(SQLiteDatabase(self.path))

    def maintenance(self) -> SQLMaintenanceRepository:
        return SQLMaintenanceRepository(SQLiteDatabase(self.path))

    def delete_images_by_hand(self) -> None:
        self.query("DELETE FROM images")

    def forget_ends(self) -> None:
        self.query("UPDATE charges SET state = 'reserved', cost = NULL, prices_of = NULL")
        self.query("UPDATE images SET cost = NULL")
        self.query("DELETE FROM daily_sums")


class TestSQLiteLedger(LedgerUsageContract):
    adapter = SQLLedger
    database = SQLiteDatabase

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteLedgerFile:
        return SQLiteLedgerFile(tmp_path)
