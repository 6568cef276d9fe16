"""The roster in an SQLite file."""

from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase


class SQLiteUserRepository(SQLUserRepository):
    """Remembers users in an SQLite file, which other repositories may share."""

    def __init__(self, database: SQLiteDatabase) -> None:
        super().__init__(database)
