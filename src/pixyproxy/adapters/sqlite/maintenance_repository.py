"""The records of images in an SQLite file, seen by those who look after them."""

from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase


class SQLiteMaintenanceRepository(SQLMaintenanceRepository):
    """Looks after the images in an SQLite file, which other repositories may share."""

    def __init__(self, database: SQLiteDatabase) -> None:
        super().__init__(database)
