"""The roster in memory."""

from dataclasses import replace

from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.domain.errors import ConstraintViolationError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.user_repository import UserRepository


class MemoryUserRepository(UserRepository):
    """Remembers users in a storage object; opening and closing change nothing."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._storage = MemoryStorage() if storage is None else storage

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def get(self, username: str) -> User:
        """Look up the user."""
        return self._find(username)

    async def list(self) -> tuple[User, ...]:
        """Return all users; Python orders text by code point."""
        return tuple(self._storage.users[name] for name in sorted(self._storage.users))

    async def add(self, user: User) -> None:
        """Store the user."""
        if user.username in self._storage.users:
            raise ConstraintViolationError("There is a user of this name already.")
        self._storage.users[user.username] = user

    async def set_password_hash(self, username: str, password_hash: str) -> None:
        """Replace the hash."""
        self._storage.users[username] = replace(self._find(username), password_hash=password_hash)

    async def remove(self, username: str) -> None:
        """Remove the user and the user's keys."""
        del self._storage.users[self._find(username).username]
        keys = self._storage.api_keys
        for key_id in [key.key_id for key in keys.values() if key.username == username]:
            del keys[key_id]

    def _find(self, username: str) -> User:
        user = self._storage.users.get(username)
        if user is None:
            raise UserNotFoundError("There is no such user.")
        return user
