"""The SQLite API key repository keeps the contract."""

from pathlib import Path

import pytest

from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests.conformance.contracts.api_key_repository import ApiKeyRepositoryContract, KeyStorage, make_key
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteKeys(SQLiteFile, KeyStorage):
    def repository(self) -> SQLApiKeyRepository:
        return SQLApiKeyRepository(SQLiteDatabase(self.path))

    def users(self) -> SQLUserRepository:
        return SQLUserRepository(SQLiteDatabase(self.path))

    def stored(self) -> dict[str, tuple[str, str]]:
        return {
            key_id: (user, digest) for key_id, user, digest in self.query("SELECT key_id, user, digest FROM api_keys")
        }


class TestSQLiteApiKeyRepository(ApiKeyRepositoryContract):
    adapter = SQLApiKeyRepository
    database = SQLiteDatabase

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteKeys:
        return SQLiteKeys(tmp_path)

    async def test_deleting_a_user_by_hand_deletes_the_keys(
        self, storage: SQLiteKeys, repository: SQLApiKeyRepository
    ) -> None:
        for number, name in enumerate(("alice", "alice", "bob")):
            await repository.add(make_key(str(number), name))
        storage.query("DELETE FROM roster WHERE user = 'alice'")
        assert storage.stored() == {"2": ("bob", "digest of 2")}
        assert await repository.find("digest of 0") is None
