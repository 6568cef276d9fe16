"""The roster in MySQL or MariaDB."""

from functools import partial

from pixyproxy.adapters._sql import users
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.domain.user import User
from pixyproxy.ports.user_repository import UserRepository


class MySQLUserRepository(UserRepository):
    """Remembers users in a MySQL or MariaDB database, which other repositories may share.

    Names that differ only in trailing spaces are told apart when read, but only one of them can be added.
    """

    def __init__(self, database: MySQLDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        """Connect and check the schema, which `pixyproxy migrate` brings up to date."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the connections, unless another repository still uses them."""
        await self._database.close(self)

    async def get(self, username: str) -> User:
        """Read one row by its primary key."""
        return await self._database.read(partial(users.get, username=username))

    async def list(self) -> tuple[User, ...]:
        """Read all rows."""
        return await self._database.read(users.list_all)

    async def add(self, user: User) -> None:
        """Insert the user."""
        await self._database.write(partial(users.add, user=user))

    async def set_password_hash(self, username: str, password_hash: str) -> None:
        """Update the row."""
        await self._database.write(partial(users.set_password_hash, username=username, password_hash=password_hash))

    async def remove(self, username: str) -> None:
        """Delete the row."""
        await self._database.write(partial(users.remove, username=username))
