"""The port to the roster of users."""

from abc import abstractmethod

from pixyproxy.domain.user import User
from pixyproxy.ports.resource import Resource


class UserRepository(Resource):
    """Remembers the users who may log in.

    Usernames are compared exactly, by code point. Transactions, outages and durability are as
    `ImageRepository` says.
    """

    @abstractmethod
    async def get(self, username: str) -> User:
        """Return the user with this name; raises UserNotFoundError if there is none."""

    @abstractmethod
    async def list(self) -> tuple[User, ...]:
        """Return all users, ordered by name (by code point)."""

    @abstractmethod
    async def add(self, user: User) -> None:
        """Add a user; raises ConstraintViolationError, changing nothing, if the name is taken."""

    @abstractmethod
    async def set_password_hash(self, username: str, password_hash: str) -> None:
        """Replace the password hash; raises UserNotFoundError if there is no such user."""

    @abstractmethod
    async def remove(self, username: str) -> None:
        """Remove the user but not their images; raises UserNotFoundError if there is none."""
