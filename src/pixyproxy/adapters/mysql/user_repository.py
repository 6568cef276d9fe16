"""The roster in MySQL or MariaDB."""

from pixyproxy.adapters._sql.user_repository import SQLUserRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase


class MySQLUserRepository(SQLUserRepository):
    """Remembers users in a MySQL or MariaDB database, which other repositories may share.

    Names that differ only in trailing spaces are told apart when read, but only one of them can be added.
    """

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database)
