"""The base of the repositories in an SQL database."""

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.ports.resource import Resource


class SQLRepository(Resource):
    """A repository in a MySQL, MariaDB or SQLite database, which other repositories may share."""

    def __init__(self, database: SQLDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        """Open the database and check its tables."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the database, unless another repository still uses it."""
        await self._database.close(self)
