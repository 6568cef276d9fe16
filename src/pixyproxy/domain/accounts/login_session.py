"""The login session: what a browser shows with every request once its user has logged in."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A login of a user as it is stored: with a keyed hash of its token, never the token itself.

    It is valid before `expires_at`, and while the user's password hash is the one of which `password_digest` is the
    SHA-256: a new password ends it, by whatever way it was set.
    """

    digest: str = field(repr=False)
    username: str
    password_digest: str = field(repr=False)
    created_at: datetime
    expires_at: datetime

    def has_expired(self, now: datetime) -> bool:
        """Return whether the session has expired."""
        return now >= self.expires_at
