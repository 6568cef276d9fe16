"""The MySQL session repository keeps the contract."""

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.session_repository import SQLSessionRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from tests.conformance.contracts.session_repository import SessionRepositoryContract, SessionStorage, make_session
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.mysql_storage import MySQLTables


class MySQLSessions(MySQLTables, SessionStorage):
    def repository(self) -> SQLSessionRepository:
        return SQLSessionRepository(self.settings.database())

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(self.settings.database())

    def stored(self) -> dict[str, str]:
        return dict(self.query("SELECT digest, `user` FROM sessions"))


class TestMySQLSessionRepository(SessionRepositoryContract):
    adapter = SQLSessionRepository
    database = MySQLDatabase

    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLSessions:
        return MySQLSessions(empty_mysql)

    async def test_deleting_a_user_by_hand_deletes_the_sessions(
        self, storage: MySQLSessions, repository: SQLSessionRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_session(str(number), name))
        storage.query("DELETE FROM roster WHERE `user` = 'alice'")
        assert storage.stored() == {"2": "bob"}
        assert await repository.find("0") is None
