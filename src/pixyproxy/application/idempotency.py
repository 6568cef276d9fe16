"""Idempotency keys: which requests are the same, and what a key may look like."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.domain.image import IdempotencyClaim


class ClaimLocks:
    """Lets one request at a time claim a key, so that the others of this process find its row and join.

    The table decides between processes; this spares places and transactions among the requests of one. A claim
    without a key is nobody's alone.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, claim: IdempotencyClaim) -> AsyncIterator[None]:
        """Hold the lock of this claim; without a key there is nothing to hold."""
        if claim.key is None:
            yield
            return
        lock = self._locks.setdefault((claim.caller, claim.key), asyncio.Lock())
        async with lock:
            yield


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
