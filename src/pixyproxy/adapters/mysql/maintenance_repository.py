"""The records of images in MySQL or MariaDB, seen by those who look after them."""

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository


class MySQLMaintenanceRepository(SQLMaintenanceRepository):
    """Looks after the images in a MySQL or MariaDB database, which other repositories may share."""

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database)
