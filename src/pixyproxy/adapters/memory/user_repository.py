"""The roster in memory."""

from dataclasses import replace

from pixyproxy.adapters.memory.storage import MemoryRepository
from pixyproxy.domain.errors import ConstraintViolationError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.user_repository import UserRepository


class MemoryUserRepository(MemoryRepository, UserRepository):
    """Remembers users in a storage object."""

    async def get(self, username: str) -> User:
        if username not in self._storage.users:
            raise UserNotFoundError("There is no such user.")
        return self._storage.users[username]

    async def list(self) -> tuple[User, ...]:
        """Return all users; Python orders text by code point."""
        return tuple(self._storage.users[name] for name in sorted(self._storage.users))

    async def add(self, user: User) -> None:
        if user.username in self._storage.users:
            raise ConstraintViolationError("There is a user of this name already.")
        self._storage.users[user.username] = user

    async def set_password_hash(self, username: str, password_hash: str) -> None:
        self._storage.users[username] = replace(await self.get(username), password_hash=password_hash)

    async def remove(self, username: str) -> None:
        del self._storage.users[(await self.get(username)).username]
        keys = self._storage.api_keys
        for key_id in [key.key_id for key in keys.values() if key.username == username]:
            del keys[key_id]
