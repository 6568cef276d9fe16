"""The MySQL image repository fulfils the contract of searches."""

import pytest

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from tests.conformance.contracts.image_search import ImageSearchContract, SearchStorage
from tests.fixtures.sql.bounds import TIGHT
from tests.fixtures.sql.mysql_servers import MySQLSettings


class MySQLSearch(SearchStorage):
    def __init__(self, settings: MySQLSettings) -> None:
        self._settings = settings

    def repository(self) -> SQLImageRepository:
        return SQLImageRepository(self._settings.database())

    def frugal(self) -> SQLImageRepository:
        return SQLImageRepository(self._settings.database(), TIGHT)

    def maintenance(self) -> SQLMaintenanceRepository:
        return SQLMaintenanceRepository(self._settings.database())

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(self._settings.database())


class TestMySQLImageSearch(ImageSearchContract):
    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLSearch:
        return MySQLSearch(empty_mysql)
