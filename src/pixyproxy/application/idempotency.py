"""Idempotency keys: which requests are the same, and what a key may look like."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from pixyproxy.application.commands import Command
from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.domain.image import IdempotencyClaim


class ClaimLocks:
    """Lets one request at a time claim a key, so that the others of this process find its row and join.

    The table decides between processes; this spares places and transactions among the requests of one.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, claim: IdempotencyClaim | None) -> AsyncIterator[None]:
        """Hold the lock of this claim; without a claim there is nothing to hold."""
        if claim is None:
            yield
            return
        lock = self._locks.setdefault((claim.caller, claim.key), asyncio.Lock())
        async with lock:
            yield


_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def claim_of(viewer: str | None, key: str | None, command: Command) -> IdempotencyClaim | None:
    """The claim that a caller makes with a key for a request; None without a key.

    Raises DataValidationError unless the key is 1 to 255 visible ASCII characters.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        message = "must be 1 to 255 visible ASCII characters"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    # The validated request: white space in the JSON, the order of its fields and a field left out or null
    # make no difference.
    request = command.model_dump(mode="json", exclude_none=True)
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return IdempotencyClaim(viewer or "", key, hashlib.sha256(canonical.encode()).hexdigest())
