"""Images that wait for their turn keep the contract in memory, on SQLite and on MySQL."""

from pathlib import Path

import pytest

from tests.conformance.contracts.image_queue import ImageQueueContract
from tests.conformance.test_memory_maintenance_repository import MemoryRecords
from tests.conformance.test_mysql_maintenance_repository import MySQLRecords
from tests.conformance.test_sqlite_maintenance_repository import SQLiteRecords
from tests.fixtures.sql.mysql_servers import MySQLSettings


class TestMemoryQueue(ImageQueueContract):
    @pytest.fixture
    def storage(self) -> MemoryRecords:
        return MemoryRecords()


class TestSQLiteQueue(ImageQueueContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteRecords:
        return SQLiteRecords(tmp_path)


class TestMySQLQueue(ImageQueueContract):
    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLRecords:
        return MySQLRecords(empty_mysql)
