"""The API key: a secret that a program sends instead of a user's name and password."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a user, as it is remembered: by a keyed hash of the secret, which itself is kept nowhere.

    `key_id` names it in lists and when it is revoked, and is no secret. `name` says what it is for. From
    `expires_at` on (None: never) it opens nothing.
    """

    key_id: str
    username: str
    name: str | None
    digest: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        """Whether it opens nothing any more."""
        return self.expires_at is not None and now >= self.expires_at
