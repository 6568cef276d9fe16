"""The port to the store of login sessions."""

from abc import abstractmethod
from datetime import datetime

from pixyproxy.domain.accounts.login_session import LoginSession
from pixyproxy.domain.user import User
from pixyproxy.ports.resource import Resource


class SessionRepository(Resource):
    """Remembers the login sessions of users.

    Digests and usernames are compared exactly, by code point. Transactions, outages and durability are as
    `ImageRepository` says.
    """

    @abstractmethod
    async def add(self, session: LoginSession) -> None:
        """Add a session.

        Raises:
            UserNotFoundError: There is no such user; nothing was changed.
            ConstraintViolationError: The digest is taken; nothing was changed.
        """

    @abstractmethod
    async def find(self, digest: str) -> tuple[LoginSession, User] | None:
        """Return the session with this digest and its user, or None; an expired session is found like any other."""

    @abstractmethod
    async def extend(self, digest: str, expires_at: datetime) -> None:
        """Set the end of a session; change nothing if there is none with this digest."""

    @abstractmethod
    async def remove(self, digest: str) -> None:
        """Delete a session; change nothing if there is none with this digest.

        Removing a user from the roster deletes the user's sessions too.
        """

    @abstractmethod
    async def remove_expired(self, now: datetime) -> None:
        """Delete all sessions that end at this time or before."""
