"""Images in an SQLite file."""

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds
from pixyproxy.adapters.sqlite.database import SQLiteDatabase


class SQLiteImageRepository(SQLImageRepository):
    """Remembers images in an SQLite file, which other repositories may share."""

    def __init__(self, database: SQLiteDatabase, bounds: Bounds = DEFAULT) -> None:
        super().__init__(database, bounds)
