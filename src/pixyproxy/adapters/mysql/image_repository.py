"""Images in MySQL or MariaDB."""

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds


class MySQLImageRepository(SQLImageRepository):
    """Remembers images in a MySQL or MariaDB database, which other repositories may share."""

    def __init__(self, database: MySQLDatabase, bounds: Bounds = DEFAULT) -> None:
        super().__init__(database, bounds)
