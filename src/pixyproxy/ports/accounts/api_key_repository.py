"""The port to the store of API keys."""

from abc import abstractmethod

from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.user import User
from pixyproxy.ports.resource import Resource


class ApiKeyRepository(Resource):
    """Remembers the API keys of users.

    Ids, digests and usernames are compared exactly, by code point. Transactions, outages and durability are as
    `ImageRepository` says.
    """

    @abstractmethod
    async def add(self, key: ApiKey) -> None:
        """Add a key.

        Raises:
            UserNotFoundError: There is no such user; nothing was changed.
            ConstraintViolationError: The id or the digest is taken; nothing was changed.
        """

    @abstractmethod
    async def find(self, digest: str) -> tuple[ApiKey, User] | None:
        """Return the key with this digest and its user, or None; an expired key is found like any other."""

    @abstractmethod
    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys of a user, or all, ordered by username (by code point), then oldest first, then by id."""

    @abstractmethod
    async def remove(self, key_id: str) -> None:
        """Delete a key; raises RecordNotFoundError if there is none with this id.

        Removing a user from the roster deletes the user's keys too.
        """
