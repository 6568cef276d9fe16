"""Images in MySQL or MariaDB."""

from pixyproxy.adapters._sql.bounds import DEFAULT, Bounds
from pixyproxy.adapters._sql.image_repository import SQLImageRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase


class MySQLImageRepository(SQLImageRepository):
    """Remembers images in a MySQL or MariaDB database, which other repositories may share."""

    def __init__(self, database: MySQLDatabase, bounds: Bounds = DEFAULT) -> None:
        super().__init__(database, bounds)
