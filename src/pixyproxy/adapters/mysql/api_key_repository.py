"""The API keys in MySQL or MariaDB."""

from pixyproxy.adapters._sql.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase


class MySQLApiKeyRepository(SQLApiKeyRepository):
    """Remembers API keys in a MySQL or MariaDB database, which other repositories may share.

    Ids and digests that differ only in trailing spaces are told apart when read, but only one of them can be added.
    """

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database)
