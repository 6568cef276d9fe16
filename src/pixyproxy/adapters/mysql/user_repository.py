"""The roster in MySQL or MariaDB."""

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository


class MySQLUserRepository(SQLUserRepository):
    """Remembers users in a MySQL or MariaDB database, which other repositories may share.

    Names that differ only in trailing spaces are told apart when read, but only one of them can be added.
    """

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database)
