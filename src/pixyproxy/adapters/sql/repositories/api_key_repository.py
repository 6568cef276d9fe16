"""The API keys behind SQL, whichever server runs it."""

from abc import abstractmethod
from functools import partial

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.repositories import api_keys
from pixyproxy.domain.api_key import ApiKey
from pixyproxy.domain.user import User
from pixyproxy.ports.api_key_repository import ApiKeyRepository


class SQLApiKeyRepository(ApiKeyRepository):
    """Remembers API keys in an SQL database, which other repositories may share."""

    @abstractmethod
    def __init__(self, database: SQLDatabase) -> None:
        self._database = database
        self._find = database.reads_by_key(api_keys.find_all)

    async def open(self) -> None:
        """Open the database and check its tables."""
        await self._database.open(self)

    async def close(self) -> None:
        """Close the database, unless another repository still uses it."""
        await self._database.close(self)

    async def add(self, key: ApiKey) -> None:
        """Insert the key."""
        await self._database.write(partial(api_keys.add, key=key))

    async def find(self, digest: str) -> tuple[ApiKey, User] | None:
        """Read one row and its user by a unique key, perhaps together with others."""
        return await self._find(digest)

    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """Read the rows of a user, or all."""
        return await self._database.read(partial(api_keys.list_all, username=username))

    async def remove(self, key_id: str) -> None:
        """Delete the row."""
        await self._database.write(partial(api_keys.remove, key_id=key_id))
