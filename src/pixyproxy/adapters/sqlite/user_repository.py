"""The roster in an SQLite file."""

from functools import partial

from pixyproxy.adapters._sql import users
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.user import User
from pixyproxy.ports.user_repository import UserRepository


class SQLiteUserRepository(UserRepository):
    """Remembers users in an SQLite file, which other repositories may share."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        """Open the file, or make it, and bring its tables up to date."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the file, unless another repository still uses it."""
        await self._database.close(self)

    async def get(self, username: str) -> User:
        """Read one row by its primary key, on the event loop."""
        return await self._database.point_read(partial(users.get, username=username))

    async def list(self) -> tuple[User, ...]:
        """Read all rows, in a thread."""
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
