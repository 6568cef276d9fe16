"""The API keys in MySQL or MariaDB."""

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository


class MySQLApiKeyRepository(SQLApiKeyRepository):
    """Remembers API keys in a MySQL or MariaDB database, which other repositories may share.

    Ids and digests that differ only in trailing spaces are told apart when read, but only one of them can be added.
    """

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database)
