"""The roster in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC

from pixyproxy.adapters.memory.api_key_repository import MemoryApiKeyRepository
from pixyproxy.adapters.memory.storage import MemoryRepository
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import ConstraintViolationError, NameReservedError, PixyProxyException, UserNotFoundError
from pixyproxy.domain.user import Role, User, UserChanges, name_key
from pixyproxy.ports.accounts.user_repository import UserRepository


class MemoryUserRepository(MemoryRepository, UserRepository):
    """Remembers users in a storage object."""

    async def get(self, username: str) -> User:
        if username not in self._storage.users:
            raise UserNotFoundError("There is no such user.")
        return self._storage.users[username]

    async def list(self) -> tuple[User, ...]:
        """Return all users; Python orders text by code point."""
        return tuple(self._storage.users[name] for name in sorted(self._storage.users))

    async def page(
        self, *, after: str | None, limit: int, class_key: str | None = None, role: Role | None = None
    ) -> tuple[User, ...]:
        found = [
            user
            for user in await self.list()
            if (after is None or user.username > after)
            and class_key in {None, user.class_key}
            and role in {None, user.role}
        ]
        return tuple(found[:limit])

    async def add(self, user: User, *, take_over: bool = False) -> None:
        if user.username in self._storage.users:
            raise ConstraintViolationError("There is a user of this name already.")
        if self._is_reserved(user.username) and not take_over:
            raise NameReservedError("The name is reserved.")
        self._storage.removed_users.discard(user.username)
        self._storage.users[user.username] = _in_utc(user)

    async def find_reserved(self, usernames: Collection[str]) -> frozenset[str]:
        return frozenset(name for name in usernames if name in self._storage.users or self._is_reserved(name))

    async def apply(
        self, additions: Sequence[User], updates: Mapping[str, UserChanges], keys: Sequence[ApiKey]
    ) -> None:
        users, api_keys = dict(self._storage.users), dict(self._storage.api_keys)
        sessions = dict(self._storage.sessions)
        try:
            for user in additions:
                await self.add(user)
            for username, changes in updates.items():
                await self.update(username, changes)
            for key in keys:
                await MemoryApiKeyRepository(self._storage).add(key)
        except PixyProxyException:
            self._storage.users, self._storage.api_keys, self._storage.sessions = users, api_keys, sessions
            raise

    async def update(self, username: str, changes: UserChanges) -> User:
        user = _in_utc(replace(await self.get(username), **changes))
        self._storage.users[username] = user
        if changes.get("paused") is False:
            self._end_sessions(username)
        return user

    async def remove(self, username: str) -> None:
        del self._storage.users[(await self.get(username)).username]
        keys = self._storage.api_keys
        self._storage.removed_users.add(username)
        for key_id in [key.key_id for key in keys.values() if key.username == username]:
            del keys[key_id]
        self._end_sessions(username)

    def _end_sessions(self, username: str) -> None:
        sessions = self._storage.sessions
        for digest in [session.digest for session in sessions.values() if session.username == username]:
            del sessions[digest]

    def _is_reserved(self, username: str) -> bool:
        removed = {name_key(name) for name in self._storage.removed_users}
        return name_key(username) in removed or any(
            image.request.author == username for image in self._storage.images.values()
        )


def _in_utc(user: User) -> User:
    return user if user.valid_until is None else replace(user, valid_until=user.valid_until.astimezone(UTC))
