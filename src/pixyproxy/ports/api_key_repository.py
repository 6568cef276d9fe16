"""The port to the store of API keys."""

from abc import abstractmethod

from pixyproxy.domain.api_key import ApiKey
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

        Raises UserNotFoundError if there is no such user, ConstraintViolationError if the id or the digest is
        taken, and changes nothing then.
        """

    @abstractmethod
    async def find(self, digest: str) -> tuple[ApiKey, User] | None:
        """The key with this digest and the user whose it is, or None; an expired one is found like any other."""

    @abstractmethod
    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """The keys of a user, or all, ordered by username (by code point), then oldest first, then by id."""

    @abstractmethod
    async def remove(self, key_id: str) -> None:
        """Forget a key; raises RecordNotFoundError if there is none with this id.

        The keys of a user who is removed from the roster are forgotten too.
        """
