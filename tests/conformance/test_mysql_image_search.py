"""The MySQL image repository fulfils the contract of searches."""

import pytest

from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.mysql.maintenance_repository import MySQLMaintenanceRepository
from tests.conformance.contracts.image_search import ImageSearchContract, SearchStorage
from tests.fixtures.sql.bounds import TIGHT
from tests.fixtures.sql.mysql_servers import MySQLSettings


class MySQLSearch(SearchStorage):
    def __init__(self, settings: MySQLSettings) -> None:
        self._settings = settings

    def repository(self) -> MySQLImageRepository:
        return MySQLImageRepository(self._settings.database())

    def frugal(self) -> MySQLImageRepository:
        return MySQLImageRepository(self._settings.database(), TIGHT)

    def maintenance(self) -> MySQLMaintenanceRepository:
        return MySQLMaintenanceRepository(self._settings.database())


class TestMySQLImageSearch(ImageSearchContract):
    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLSearch:
        return MySQLSearch(empty_mysql)
