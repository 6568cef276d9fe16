"""The use cases around API keys: add, list, revoke, and authenticate."""

import hmac
import logging
import re
import secrets
import string
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property

from pixyproxy.application.accounts.account_commands import AddKey, NewKey
from pixyproxy.application.accounts.login_throttle import LoginThrottle
from pixyproxy.application.commands import validate
from pixyproxy.application.derived_key import derive_key
from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import (
    AuthenticationError,
    ConstraintViolationError,
    DataValidationError,
    RecordNotFoundError,
)
from pixyproxy.domain.user import COMMAND_LINE, User, compose
from pixyproxy.ports.accounts.api_key_repository import ApiKeyRepository
from pixyproxy.ports.clock import Clock

logger = logging.getLogger(__name__)

PREFIX = "pxy_"
"""The beginning of every key, by which people and scanners for leaked secrets recognise it."""
ID_LENGTH = 8
"""Number of characters of the key's id, which follows the prefix; the rest holds 208 bits."""

MAX_OWN_KEYS = 100
"""The most keys that a user has who makes them over HTTP; the command line adds any number."""

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

    def __init__(
        self, keys: ApiKeyRepository, clock: Clock, secret: Callable[[], bytes], throttle: LoginThrottle
    ) -> None:
        self._keys = keys
        self._throttle = throttle
        self._clock = clock
        self._secret = secret

    async def add(
        self,
        username: str,
        *,
        name: str | None = None,
        expires: datetime | timedelta | str | None = None,
        by: str = COMMAND_LINE,
    ) -> tuple[str, ApiKey]:
        """Add a key of a user, and return its secret, which cannot be read again, and the stored key.

        It expires at a time, or after a duration, or never. `by` says who adds it.
        """
        command = validate(AddKey, {"username": username, "name": name, "expires": expires})
        now, end = self._clock.now(), command.expires
        if isinstance(end, timedelta):
            end = now + end
        if end is not None and end <= now:
            raise DataValidationError.at(("expires",), "must be in the future")
        for tries_left in reversed(range(_TRIES)):
            token, key = self.make(compose(command.username), command.name, now, end)
            try:
                await self._keys.add(key)
            except ConstraintViolationError:
                # Another key has this id; a second collision is no coincidence.
                if not tries_left:
                    raise
            else:
                break
        logger.info("%s added the key %s%s of %s", by, PREFIX, key.key_id, key.username)
        return token, key

    def make(
        self, username: str, name: str | None, now: datetime, expires_at: datetime | None = None
    ) -> tuple[str, ApiKey]:
        """Return the secret of a new key and the key to store."""
        token = PREFIX + "".join(secrets.choice(_CHARACTERS) for _ in range(_LENGTH))
        key_id = token.removeprefix(PREFIX)[:ID_LENGTH]
        return token, ApiKey(key_id, username, name, self._digest(token), now, expires_at)

    async def list(self, username: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys of a user, or all, ordered by username, then oldest first."""
        return await self._keys.list(None if username is None else compose(username))

    async def add_own(self, user: User, data: object) -> tuple[str, ApiKey]:
        """Add a key of the user who asks for it, as `NewKey` describes it, and return what `add` does.

        Raises:
            ConstraintViolationError: if the user has as many keys as a user may have.
        """
        command = validate(NewKey, data)
        if len(await self.list(user.username)) >= MAX_OWN_KEYS:
            raise ConstraintViolationError(f"You have {MAX_OWN_KEYS} keys already: revoke one that is not needed.")
        return await self.add(user.username, name=command.name, expires=command.expires, by=user.username)

    async def revoke_own(self, user: User, key_id: str) -> None:
        """Remove a key of the user who asks for it; raise RecordNotFoundError unless the user has such a key."""
        key_id = key_id.removeprefix(PREFIX)
        if key_id not in {key.key_id for key in await self.list(user.username)}:
            raise RecordNotFoundError("You have no such key.")
        await self.revoke(key_id, by=user.username)

    async def revoke(self, key_id: str, *, by: str = COMMAND_LINE) -> None:
        """Remove a key; raise RecordNotFoundError if there is none with this id."""
        await self._keys.remove(key_id)
        logger.info("%s revoked the key %s%s", by, PREFIX, key_id)

    async def authenticate(self, token: str, address: str) -> User:
        """Return the user who owns a key, for a login from an address.

        Every call looks the key up, so that revoking works at once.

        Raises:
            AuthenticationError: if the key is not valid, without saying why.
            AccountPausedError: if it is, and the account of its user is paused or no longer valid.
            TooManyLoginsError: if too many logins from the address have failed, unless its user is known there.
        """
        if _FORM.fullmatch(token):
            found = await self._keys.find(self._digest(token))
            if found is not None:
                key, user = found
                if not key.has_expired(now := self._clock.now()):
                    await self._throttle.admit(user.username, address)
                    user.require_active(now)
                    return user
        await self._throttle.count_wrong_key(address, token)
        raise AuthenticationError("This is no valid API key: it is wrong, has expired or was revoked.")

    def _digest(self, token: str) -> str:
        # Unlike `hmac.digest` this keeps the interpreter lock; getting it back would take longer than hashing a token.
        return hmac.new(self._hash_key, token.encode("ascii"), "sha256").hexdigest()

    @cached_property
    def _hash_key(self) -> bytes:
        return derive_key(self._secret(), "api-keys")
