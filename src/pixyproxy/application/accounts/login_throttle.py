"""The bound on failed logins: per account and address, per account from strange addresses, and per address."""

import hashlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

from pixyproxy.application.derived_key import derive_key
from pixyproxy.application.expiring_set import ExpiringSet
from pixyproxy.domain.errors import AuthenticationError, TooManyLoginsError
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.moving_windows import MovingWindows, Window

logger = logging.getLogger(__name__)

_LENGTH_S = 300
OF_PAIR = Window("login-pair", 10, _LENGTH_S)
"""Failures of an account from an address."""
OF_ACCOUNT = Window("login-account", 10, _LENGTH_S)
"""Failures of an account from all addresses that are strange to it: that never logged in to it."""
OF_ADDRESS = Window("login-address", 100, _LENGTH_S)
"""Failures from an address, of all accounts and API keys; it bounds those to whom the address is strange."""
_SECRET = Window("login-secret", 1, _LENGTH_S)
"""The failure of one secret, which counts once."""
_FAMILIAR = Window("login-familiar", 1, 30 * 24 * 3600)
"""A login to an account from an address."""
_FAMILIAR_HERE = timedelta(days=1)
"""Time for which this process remembers a familiar address by itself; the login after it is recorded anew."""
_MAX_REMEMBERED = 4096


class _Count(NamedTuple):
    """A place in a window that an attempt needs; `mark` stands for its secret there."""

    window: Window
    key: str
    mark: str
    is_binding: bool


class LoginThrottle:
    """Counts logins as failed before they are checked, so that parallel guesses count too, and refuses too many.

    Counters are found by keyed hashes of names, addresses and secrets: nobody can read those from them. An address is
    familiar to an account for 30 days after a login from it.
    """

    def __init__(self, windows: MovingWindows, clock: Clock, secret: Callable[[], bytes]) -> None:
        self._windows = windows
        self._secret = secret
        self._familiar = ExpiringSet(clock, _FAMILIAR_HERE, _MAX_REMEMBERED)
        self._logged = ExpiringSet(clock, timedelta(seconds=_LENGTH_S), _MAX_REMEMBERED)

    def knows(self, account: str, address: str) -> bool:
        """Return whether this process remembers a login to the account from the address."""
        return self._digest("pair", account, address) in self._familiar

    async def require_room(self, account: str, address: str) -> None:
        """Raise TooManyLoginsError if too many logins to the account from the address have failed."""
        key = self._digest("pair", account, address)
        if await self._windows.wait_s(OF_PAIR, key):
            raise await self._refusal(OF_PAIR, key, address)

    @asynccontextmanager
    async def attempt(self, account: str, address: str, secret: str) -> AsyncIterator[None]:
        """Count a login with a secret as failed, and take that back unless the block raises AuthenticationError.

        Raises:
            TooManyLoginsError: before the block, if too many have failed.
        """
        pair = self._digest("pair", account, address)
        is_familiar = await self._is_familiar(pair)
        counts = [
            self._count(OF_PAIR, pair, account, secret),
            self._count(OF_ADDRESS, self._digest("address", address), account, secret, is_binding=not is_familiar),
        ]
        if not is_familiar:
            counts.append(self._count(OF_ACCOUNT, self._digest("account", account), account, secret))
        counted = await self._take(counts, address)
        try:
            yield
        except AuthenticationError:
            raise
        except BaseException:
            await self._give_back(counted)
            raise
        await self._give_back(counted)
        await self._remember(pair)

    async def admit(self, account: str, address: str) -> None:
        """Record a login with a right API key; raise TooManyLoginsError if the address may log in to nothing new."""
        pair = self._digest("pair", account, address)
        if pair in self._familiar:
            return
        key = self._digest("address", address)
        if not await self._is_familiar(pair) and await self._windows.wait_s(OF_ADDRESS, key):
            raise await self._refusal(OF_ADDRESS, key, address)
        await self._remember(pair)

    async def count_wrong_key(self, address: str, token: str) -> None:
        """Count a wrong API key; raise TooManyLoginsError if there were too many failures from the address."""
        await self._take([self._count(OF_ADDRESS, self._digest("address", address), "", token)], address)

    def _count(self, window: Window, key: str, account: str, secret: str, *, is_binding: bool = True) -> _Count:
        return _Count(window, key, self._digest("secret", key, account, secret), is_binding)

    async def _take(self, counts: Sequence[_Count], address: str) -> list[_Count]:
        """Count an attempt in all windows, or in none and raise TooManyLoginsError.

        Return where it counts: not where its secret counts already, nor in a full window that is not binding.
        """
        counted: list[_Count] = []
        for count in counts:
            if await self._windows.hit(_SECRET, count.mark):
                if await self._windows.hit(count.window, count.key):
                    counted.append(count)
                    continue
                await self._windows.release(_SECRET, count.mark)
            elif not await self._windows.wait_s(count.window, count.key):
                continue
            if count.is_binding:
                await self._give_back(counted)
                raise await self._refusal(count.window, count.key, address)
        return counted

    async def _give_back(self, counted: Sequence[_Count]) -> None:
        for count in counted:
            await self._windows.release(count.window, count.key)
            await self._windows.release(_SECRET, count.mark)

    async def _is_familiar(self, pair: str) -> bool:
        return pair in self._familiar or await self._windows.wait_s(_FAMILIAR, pair) > 0

    async def _remember(self, pair: str) -> None:
        if pair not in self._familiar:
            # The 30 days begin anew.
            await self._windows.release(_FAMILIAR, pair)
            await self._windows.hit(_FAMILIAR, pair)
            self._familiar.add(pair)

    async def _refusal(self, window: Window, key: str, address: str) -> TooManyLoginsError:
        wait_s = max(1.0, await self._windows.wait_s(window, key))
        if key not in self._logged:
            self._logged.add(key)
            logger.warning(
                "%d logins failed in %d s (%s): refusing more, now from %s (this is logged once)",
                window.limit,
                window.length_s,
                window.kind,
                address,
            )
        return TooManyLoginsError(
            f"Too many logins have failed: try again in {math.ceil(wait_s)} s. "
            "Until then the right password or key is refused too.",
            retry_after_s=wait_s,
        )

    def _digest(self, *parts: str) -> str:
        hasher = hashlib.blake2b(key=self._key, digest_size=16)
        for part in parts:
            encoded = part.encode(errors="surrogatepass")
            hasher.update(len(encoded).to_bytes(8, "big") + encoded)
        return hasher.hexdigest()

    @cached_property
    def _key(self) -> bytes:
        return derive_key(self._secret(), "logins")
