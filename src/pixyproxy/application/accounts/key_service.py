"""The use cases around API keys: add, list, revoke, and authenticate."""

import hmac
import re
import secrets
import string
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property

from pixyproxy.application.commands import AddKey, validate
from pixyproxy.application.derived_key import derive_key
from pixyproxy.domain.api_key import ApiKey
from pixyproxy.domain.errors import AuthenticationError, ConstraintViolationError, DataValidationError, FieldError
from pixyproxy.domain.user import User, compose
from pixyproxy.ports.api_key_repository import ApiKeyRepository
from pixyproxy.ports.clock import Clock

PREFIX = "pxy_"
"""The beginning of every key, by which people and scanners for leaked secrets recognise it."""
ID_LENGTH = 8
"""Number of characters of the key's id, which follows the prefix; the rest holds 208 bits."""

# Only letters and digits: a double click selects the whole key, and no id looks like a command-line option.
_CHARACTERS = string.ascii_letters + string.digits
_LENGTH = 43
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_LENGTH}}}")
_TRIES = 3


class KeyService:
    """The use cases of API keys.

    A key is a random secret that only its owner has. The store has a keyed hash of it, so that reading the store
    reveals nothing usable. The hash key is derived from the secret of the service, which is read on first use.
    """

    def __init__(self, keys: ApiKeyRepository, clock: Clock, secret: Callable[[], bytes]) -> None:
        self._keys = keys
        self._clock = clock
        self._secret = secret

    async def add(
        self,
        username: str,
        *,
        name: str | None = None,
        expires_at: datetime | str | None = None,
        expires_in: timedelta | None = None,
    ) -> tuple[str, ApiKey]:
        """Add a key of a user, and return its secret, which cannot be read again, and the stored key.

        It expires at a time, or after a duration, or never.
        """
        command = validate(AddKey, {"username": username, "name": name, "expires_at": expires_at})
        now = self._clock.now()
        end = command.expires_at if expires_in is None else now + expires_in
        if end is not None and end <= now:
            raise DataValidationError("Not valid: expires_at.", [FieldError(("expires_at",), "must be in the future")])
        for tries_left in reversed(range(_TRIES)):
            token = PREFIX + "".join(secrets.choice(_CHARACTERS) for _ in range(_LENGTH))
            key = ApiKey(
                key_id=token.removeprefix(PREFIX)[:ID_LENGTH],
                username=compose(command.username),
                name=command.name,
                digest=self._digest(token),
                created_at=now,
                expires_at=end,
            )
            try:
                await self._keys.add(key)
            except ConstraintViolationError:
                # Another key has this id; a second collision is no coincidence.
                if not tries_left:
                    raise
            else:
                break
        return token, key

    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys of a user, or all, ordered by username, then oldest first."""
        return await self._keys.list(None if username is None else compose(username))

    async def revoke(self, key_id: str) -> None:
        """Remove a key; raise RecordNotFoundError if there is none with this id."""
        await self._keys.remove(key_id)

    async def authenticate(self, token: str) -> User:
        """Return the user who owns a key; every call looks it up, so that revoking works at once.

        Raise AuthenticationError, without the reason, if the key is not valid.
        """
        if _FORM.fullmatch(token):
            found = await self._keys.find(self._digest(token))
            if found is not None:
                key, user = found
                if not key.has_expired(self._clock.now()):
                    return user
        raise AuthenticationError("This is no valid API key: it is wrong, has expired or was revoked.")

    def _digest(self, token: str) -> str:
        # Unlike `hmac.digest` this keeps the interpreter lock; getting it back would take longer than hashing a token.
        return hmac.new(self._hash_key, token.encode("ascii"), "sha256").hexdigest()

    @cached_property
    def _hash_key(self) -> bytes:
        return derive_key(self._secret(), "api-keys")
