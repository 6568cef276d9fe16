"""The port to the roster of users."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence

from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.user import Role, User, UserChanges
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
    async def page(
        self, *, after: str | None, limit: int, class_key: str | None = None, role: Role | None = None
    ) -> tuple[User, ...]:
        """Return the first users after a name (None: from the beginning), at most `limit`, ordered by name.

        With `class_key` or `role` only those of that class or role.
        """

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
    async def find_reserved(self, usernames: Collection[str]) -> frozenset[str]:
        """Return those of these names that are reserved, as `add` says, or taken."""

    @abstractmethod
    async def apply(
        self, additions: Sequence[User], updates: Mapping[str, UserChanges], keys: Sequence[ApiKey]
    ) -> None:
        """Add users, change users, and add API keys of both, all in one transaction or nothing.

        Raises:
            NameReservedError, ConstraintViolationError: as `add` does, and for a key whose id or digest is taken.
            UserNotFoundError: There is no such user to change, or to have a key.
        """

    @abstractmethod
    async def update(self, username: str, changes: UserChanges) -> User:
        """Change fields of a user and return the user; raises UserNotFoundError if there is none.

        With `paused` False the user's sessions are deleted: those of before the pause have ended with it.
        """

    @abstractmethod
    async def remove(self, username: str) -> None:
        """Remove the user with all API keys and sessions, but not their images, and reserve the name.

        Raises UserNotFoundError if there is none.
        """
