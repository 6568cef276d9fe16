"""The use cases around API keys: make, list, revoke, and authenticate with one."""

import hmac
import re
import secrets
import string
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property

from pixyproxy.application.commands import AddKey, validate
from pixyproxy.domain.api_key import ApiKey
from pixyproxy.domain.derived_key import derive_key
from pixyproxy.domain.errors import (
    AuthenticationError,
    ConstraintViolationError,
    DataValidationError,
    FieldError,
)
from pixyproxy.domain.user import User
from pixyproxy.ports.api_key_repository import ApiKeyRepository
from pixyproxy.ports.clock import Clock

PREFIX = "pxy_"
"""What every key begins with, so that people and scanners of leaked secrets know it for one."""
ID_LENGTH = 8
"""How many characters after the prefix are the key's id; those that follow hold 208 bits."""

# Letters and digits alone: a double click selects all of it, and no id looks like an option of a command.
_CHARACTERS = string.ascii_letters + string.digits
_LENGTH = 43
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_LENGTH}}}")
_TRIES = 3


class KeyService:
    """Programs that act for a user.

    A key is a random secret that only its owner has. The store has a hash of it, made with a key that the store
    does not have: who reads the store can neither use what is there nor try out guesses. That key comes from the
    secret of the service, which `secret` returns; it is asked when first needed.
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
        """Make a key for a user; return its secret, which cannot be had again, and what is remembered of it.

        It ends at a time, or so long after it was made, or never.

        Raises DataValidationError, or UserNotFoundError if there is no such user.
        """
        command = validate(AddKey, {"username": username, "name": name, "expires_at": expires_at})
        tries = 0
        while True:
            tries += 1
            now = self._clock.now()
            end = command.expires_at if expires_in is None else now + expires_in
            if end is not None and end <= now:
                raise DataValidationError(
                    "Not valid: expires_at.", [FieldError(("expires_at",), "must be in the future")]
                )
            token = PREFIX + "".join(secrets.choice(_CHARACTERS) for _ in range(_LENGTH))
            key = ApiKey(
                key_id=token.removeprefix(PREFIX)[:ID_LENGTH],
                username=_composed(command.username),
                name=command.name,
                digest=self._digest(token),
                created_at=now,
                expires_at=end,
            )
            try:
                await self._keys.add(key)
            except ConstraintViolationError:
                # The id is that of another key; to come upon two of them is no accident.
                if tries == _TRIES:
                    raise
            else:
                return token, key

    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """The keys of a user, or all, ordered by username, then oldest first."""
        return await self._keys.list(None if username is None else _composed(username))

    async def revoke(self, key_id: str) -> None:
        """Forget a key, which opens nothing from now on; raises RecordNotFoundError if there is none with this id."""
        await self._keys.remove(key_id)

    async def authenticate(self, token: str) -> User:
        """The user whose key this is; raises AuthenticationError without saying what is wrong with it.

        Nothing is remembered: a key that is revoked opens nothing at once, in every process.
        """
        if _FORM.fullmatch(token):
            found = await self._keys.find(self._digest(token))
            if found is not None:
                key, user = found
                if not key.has_expired(self._clock.now()):
                    return user
        raise AuthenticationError("This is no valid API key: it is wrong, has expired or was revoked.")

    def _digest(self, token: str) -> str:
        # Unlike `hmac.digest` it keeps the interpreter's lock, which it takes longer to get back than to hash a token.
        return hmac.new(self._hash_key, token.encode("ascii"), "sha256").hexdigest()

    @cached_property
    def _hash_key(self) -> bytes:
        return derive_key(self._secret(), "api-keys")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
