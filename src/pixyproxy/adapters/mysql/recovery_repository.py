"""The records of images in MySQL or MariaDB, seen by those who look after them."""

from pixyproxy.adapters._sql.recovery_repository import SQLRecoveryRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase


class MySQLRecoveryRepository(SQLRecoveryRepository):
    """Looks after the images in a MySQL or MariaDB database, which other repositories may share."""

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database)
