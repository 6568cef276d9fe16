"""Idempotency: which requests are the same, what a key may look like, and what a retry without one may mean."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from pixyproxy.domain.errors import DataValidationError, FieldError, GeneratorError, PixyProxyException
from pixyproxy.domain.generation import IdempotencyClaim
from pixyproxy.ports.clock import Clock


class ClaimLocks:
    """Lets one request at a time claim a key, so that the others of this process find its row and join.

    The table decides between processes; this spares places and transactions among the requests of one. A claim
    without a key is held by its fingerprint: a retry that overtakes the row of the first try would be paid again.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str | None, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, claim: IdempotencyClaim) -> AsyncIterator[None]:
        """Hold the lock of this claim."""
        name = (claim.caller, claim.key, claim.fingerprint if claim.key is None else "")
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield


class UnpaidFailures:
    """Remembers when a request without a key last came to nothing and cost nothing.

    What was settled before then was made for an older request for the same: a retry does not mean that. Forgetting is
    harmless, so this is kept in this process and bounded.
    """

    def __init__(self, clock: Clock, limit: int = 10_000) -> None:
        self._clock = clock
        self._limit = limit
        self._when: dict[tuple[str, str], datetime] = {}

    @contextmanager
    def noted(self, claim: IdempotencyClaim) -> Iterator[None]:
        """Note it if what is done here ends so."""
        try:
            yield
        except PixyProxyException as error:
            is_final = isinstance(error, GeneratorError) and error.is_final
            if claim.key is None and not (error.may_have_been_paid or is_final):
                self._when.pop(name := (claim.caller, claim.fingerprint), None)
                self._when[name] = self._clock.now()
                if len(self._when) > self._limit:
                    del self._when[next(iter(self._when))]
            raise

    def since(self, claim: IdempotencyClaim, earliest: datetime) -> datetime:
        """From when on something like it may be what its retry means, at the earliest from then on."""
        return max(earliest, self._when.get((claim.caller, claim.fingerprint), earliest))


_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def claim_of(viewer: str | None, key: str | None, request: Mapping[str, Any]) -> IdempotencyClaim:
    """The claim that a caller makes with a key, or without one, for a request given as JSON types.

    Raises DataValidationError unless the key is 1 to 255 visible ASCII characters.
    """
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 visible ASCII characters"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    # The validated request: white space in the JSON, the order of its fields and a field left out or null
    # make no difference.
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return IdempotencyClaim(viewer or "", key, hashlib.sha256(canonical.encode()).hexdigest())
