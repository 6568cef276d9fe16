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
    async def add(self, user: User, *, take_over: bool = False) -> None:
        """Add a user; with `take_over` also under a name that is reserved, which frees it.

        A name is reserved if it, or one with the same `name_key`, is that of a removed user, and if it is the author
        of an image, whose user may have been removed in another way.

        Raises:
            NameReservedError: the name is reserved; nothing was changed.
            ConstraintViolationError: the name is taken; nothing was changed.
        """

    @abstractmethod
    async def set_password_hash(self, username: str, password_hash: str) -> None:
        """Replace the password hash; raises UserNotFoundError if there is no such user."""

    @abstractmethod
    async def remove(self, username: str) -> None:
        """Remove the user with all API keys, but not their images, and reserve the name.

        Raises UserNotFoundError if there is none.
        """
