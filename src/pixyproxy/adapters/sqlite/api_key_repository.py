"""The API keys in an SQLite file."""

from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase


class SQLiteApiKeyRepository(SQLApiKeyRepository):
    """Remembers API keys in an SQLite file, which other repositories may share."""

    def __init__(self, database: SQLiteDatabase) -> None:
        super().__init__(database)
