"""The roster in memory."""

from dataclasses import replace

from pixyproxy.adapters.memory.storage import MemoryRepository
from pixyproxy.domain.errors import ConstraintViolationError, NameReservedError, UserNotFoundError
from pixyproxy.domain.user import User, name_key
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

    async def add(self, user: User, *, take_over: bool = False) -> None:
        if user.username in self._storage.users:
            raise ConstraintViolationError("There is a user of this name already.")
        if self._is_reserved(user.username) and not take_over:
            raise NameReservedError("The name is reserved.")
        self._storage.removed_users.discard(user.username)
        self._storage.users[user.username] = user

    async def set_password_hash(self, username: str, password_hash: str) -> None:
        self._storage.users[username] = replace(await self.get(username), password_hash=password_hash)

    async def remove(self, username: str) -> None:
        del self._storage.users[(await self.get(username)).username]
        keys = self._storage.api_keys
        self._storage.removed_users.add(username)
        for key_id in [key.key_id for key in keys.values() if key.username == username]:
            del keys[key_id]

    def _is_reserved(self, username: str) -> bool:
        removed = {name_key(name) for name in self._storage.removed_users}
        return name_key(username) in removed or any(
            image.request.author == username for image in self._storage.images.values()
        )
