"""The MySQL API key repository keeps the contract."""

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from tests.conformance.contracts.api_key_repository import ApiKeyRepositoryContract, KeyStorage, make_key
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.mysql_storage import MySQLTables


class MySQLKeys(MySQLTables, KeyStorage):
    def repository(self) -> SQLApiKeyRepository:
        return SQLApiKeyRepository(self.settings.database())

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(self.settings.database())

    def stored(self) -> dict[str, tuple[str, str]]:
        return {
            key_id: (user, digest) for key_id, user, digest in self.query("SELECT key_id, `user`, digest FROM api_keys")
        }


class TestMySQLApiKeyRepository(ApiKeyRepositoryContract):
    adapter = SQLApiKeyRepository
    database = MySQLDatabase

    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLKeys:
        return MySQLKeys(empty_mysql)

    async def test_deleting_a_user_by_hand_deletes_the_keys(
        self, storage: MySQLKeys, repository: SQLApiKeyRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_key(str(number), name))
        storage.query("DELETE FROM roster WHERE `user` = 'alice'")
        assert storage.stored() == {"2": ("bob", "digest of 2")}
        assert await repository.find("digest of 0") is None
