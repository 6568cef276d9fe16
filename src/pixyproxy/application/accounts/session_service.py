"""The use cases around login sessions: begin, find and end."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

from pixyproxy.application.accounts.account_commands import LogIn
from pixyproxy.application.accounts.user_service import UserService
from pixyproxy.application.commands import validate
from pixyproxy.application.derived_key import derive_key
from pixyproxy.domain.accounts.login_session import LoginSession
from pixyproxy.domain.errors import AuthenticationError, UserNotFoundError
from pixyproxy.domain.user import User
from pixyproxy.ports.accounts.session_repository import SessionRepository
from pixyproxy.ports.clock import Clock

LIFETIME = timedelta(days=14)
"""Time after the last use at which a session ends."""
_EXTEND_AFTER = timedelta(days=1)
"""Age of the last extension from which a use extends the session again, so that few uses write."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class SessionService:
    """The use cases of login sessions.

    A session is a random token that only the browser has. The store has a keyed hash of it, so that reading the store
    reveals nothing usable. The hash key is derived from the secret of the service, which is read on first use.
    """

    def __init__(
        self, sessions: SessionRepository, users: UserService, clock: Clock, secret: Callable[[], bytes]
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._clock = clock
        self._secret = secret

    async def begin(self, credentials: object, address: str, *, replaced: str | None = None) -> tuple[str, User]:
        """Log a user in from an address, and return the token of the new session and the user.

        `credentials` are `LogIn`. The session with the token `replaced` ends.

        Raises:
            DataValidationError: if the credentials are not `LogIn`.
            AuthenticationError, AccountPausedError, TooManyLoginsError, PlacesTakenError: as
                `UserService.authenticate` does.
        """
        command = validate(LogIn, credentials)
        user = await self._users.authenticate(command.username, command.password, address)
        now = self._clock.now()
        await self._sessions.remove_expired(now)
        token = secrets.token_urlsafe(32)
        session = LoginSession(self._digest(token), user.username, _digest_of(user.password_hash), now, now + LIFETIME)
        try:
            await self._sessions.add(session)
        except UserNotFoundError:
            # The user was removed since the password was checked.
            raise AuthenticationError("Wrong username or password.") from None
        if replaced is not None:
            await self.end(replaced)
        return token, user

    async def find(self, token: str) -> User | None:
        """Return the user of a session, which this use extends; None if the session has ended or never was.

        Raises:
            AccountPausedError: if the account of its user is paused or no longer valid.
        """
        if not _TOKEN.fullmatch(token):
            return None
        found = await self._sessions.find(self._digest(token))
        if found is None:
            return None
        session, user = found
        now = self._clock.now()
        if session.has_expired(now) or session.password_digest != _digest_of(user.password_hash):
            return None
        user.require_active(now)
        if session.expires_at - now <= LIFETIME - _EXTEND_AFTER:
            await self._sessions.extend(session.digest, now + LIFETIME)
        return user

    async def end(self, token: str) -> None:
        """End a session; one that has ended already stays so."""
        if _TOKEN.fullmatch(token):
            await self._sessions.remove(self._digest(token))

    def _digest(self, token: str) -> str:
        return hmac.new(self._hash_key, token.encode("ascii"), "sha256").hexdigest()

    @cached_property
    def _hash_key(self) -> bytes:
        return derive_key(self._secret(), "sessions")


def _digest_of(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()
