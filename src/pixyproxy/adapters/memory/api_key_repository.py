"""API keys in memory."""

from dataclasses import replace
from datetime import UTC

from pixyproxy.adapters.memory.storage import MemoryRepository
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.api_key_repository import ApiKeyRepository


class MemoryApiKeyRepository(MemoryRepository, ApiKeyRepository):
    """Remembers API keys in a storage object."""

    async def add(self, key: ApiKey) -> None:
        if key.username not in self._storage.users:
            raise UserNotFoundError("There is no such user.")
        if key.key_id in self._storage.api_keys or self._by_digest(key.digest) is not None:
            raise ConstraintViolationError("There is a key of this id or digest already.")
        expires_at = None if key.expires_at is None else key.expires_at.astimezone(UTC)
        kept = replace(key, created_at=key.created_at.astimezone(UTC), expires_at=expires_at)
        self._storage.api_keys[key.key_id] = kept

    async def find(self, digest: str) -> tuple[ApiKey, User] | None:
        key = self._by_digest(digest)
        return None if key is None else (key, self._storage.users[key.username])

    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys in order; Python orders text by code point."""
        found = [key for key in self._storage.api_keys.values() if username is None or key.username == username]
        return tuple(sorted(found, key=lambda key: (key.username, key.created_at, key.key_id)))

    async def remove(self, key_id: str) -> None:
        if key_id not in self._storage.api_keys:
            raise RecordNotFoundError("There is no such key.")
        del self._storage.api_keys[key_id]

    def _by_digest(self, digest: str) -> ApiKey | None:
        return next((key for key in self._storage.api_keys.values() if key.digest == digest), None)
