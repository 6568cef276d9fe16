"""The API key: a secret that a program sends instead of a username and a password."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of a user as it is stored: with a keyed hash of the secret, never the secret itself.

    `key_id` names the key in lists and for revoking it, and is no secret. `name` says its purpose. The key is valid
    before `expires_at` (None: without end).
    """

    key_id: str
    username: str
    name: str | None
    digest: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        """Return whether the key has expired."""
        return self.expires_at is not None and now >= self.expires_at
