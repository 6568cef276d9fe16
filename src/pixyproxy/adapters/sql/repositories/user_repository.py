"""The roster behind SQL, whichever server runs it."""

from abc import abstractmethod
from functools import partial

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories import users
from pixyproxy.domain.user import User
from pixyproxy.ports.user_repository import UserRepository


class SQLUserRepository(UserRepository):
    """Remembers users in an SQL database, which other repositories may share."""

    @abstractmethod
    def __init__(self, database: SQLDatabase) -> None:
        self._database = database
        self._find = database.reads_by_key(users.find_all)

    async def open(self) -> None:
        """Open the database and check its tables."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the database, unless another repository still uses it."""
        await self._database.close(self)

    async def get(self, username: str) -> User:
        """Read one row by its primary key, perhaps together with others."""
        user = await self._find(username)
        if user is None:
            raise users.missing()
        return user

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
