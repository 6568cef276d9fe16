"""The MySQL ledger keeps the contract."""

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.ledger import SQLLedger
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from tests.conformance.contracts.ledger import LedgerStorage
from tests.conformance.contracts.ledger_usage import LedgerUsageContract
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.mysql_storage import MySQLTables


class MySQLLedgerTables(MySQLTables, LedgerStorage):
    def ledger(self) -> SQLLedger:
        return SQLLedger(self.settings.database())

    def images(self) -> SQLImageRepository:
        return SQLImageRepository(self.settings.database())

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(self.settings.database())

    def maintenance(self) -> SQLMaintenanceRepository:
        return SQLMaintenanceRepository(self.settings.database())

    def delete_images_by_hand(self) -> None:
        self.query("DELETE FROM images")

    def forget_ends(self) -> None:
        self.query("UPDATE charges SET state = 'reserved', cost = NULL, prices_of = NULL")
        self.query("UPDATE images SET cost = NULL")
        self.query("DELETE FROM daily_sums")


class TestMySQLLedger(LedgerUsageContract):
    adapter = SQLLedger
    database = MySQLDatabase

    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLLedgerTables:
        return MySQLLedgerTables(empty_mysql)
