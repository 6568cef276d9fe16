"""The records of images in an SQLite file, seen by those who look after them."""

from pixyproxy.adapters._sql.recovery_repository import SQLRecoveryRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase


class SQLiteRecoveryRepository(SQLRecoveryRepository):
    """Looks after the images in an SQLite file, which other repositories may share."""

    def __init__(self, database: SQLiteDatabase) -> None:
        super().__init__(database)
