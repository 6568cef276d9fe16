"""Idempotency: fingerprints of requests, the form of keys, and the meaning of a retry without a key."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from pixyproxy.application.keyed_locks import KeyedLocks
from pixyproxy.domain.errors import DataValidationError, FieldError, GeneratorError, PixyProxyException
from pixyproxy.domain.generation import IdempotencyClaim
from pixyproxy.ports.clock import Clock


class ClaimLocks:
    """Lets one request at a time claim a key, so that others in this process find its row and join it.

    The database decides between processes. A claim without a key is locked by its fingerprint: a retry that arrived
    before the row of its first attempt would be paid again.
    """

    def __init__(self) -> None:
        self._locks = KeyedLocks()

    def hold(self, claim: IdempotencyClaim) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a claim."""
        return self._locks.hold((claim.caller, claim.key, claim.fingerprint if claim.key is None else ""))


class UnpaidFailures:
    """Remembers when a request without a key last failed unpaid.

    A generation that ended before then belongs to an older identical request, not to the one being retried.
    Forgetting is harmless, so this lives in memory and is bounded.
    """

    def __init__(self, clock: Clock, limit: int = 10_000) -> None:
        self._clock = clock
        self._limit = limit
        self._failed_at: dict[tuple[str, str], datetime] = {}

    @contextmanager
    def noticed(self, claim: IdempotencyClaim) -> Iterator[None]:
        """Remember the time if the block raises an unpaid failure."""
        try:
            yield
        except PixyProxyException as error:
            is_final = isinstance(error, GeneratorError) and error.is_final
            if claim.key is None and not (error.may_have_been_paid or is_final):
                self._failed_at.pop(name := (claim.caller, claim.fingerprint), None)
                self._failed_at[name] = self._clock.now()
                if len(self._failed_at) > self._limit:
                    del self._failed_at[next(iter(self._failed_at))]
            raise

    def earliest_match(self, claim: IdempotencyClaim, earliest: datetime) -> datetime:
        """Return the earliest time at which a matching generation can be the one being retried."""
        return max(earliest, self._failed_at.get((claim.caller, claim.fingerprint), earliest))


_FIRST_INEXACT = 2**53
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def claim_of(viewer: str | None, key: str | None, request: Mapping[str, Any], address: str = "") -> IdempotencyClaim:
    """Return the claim of a caller, with or without a (valid) key, for a request given as JSON types.

    An anonymous caller of a key is told from others by the address, unless it is empty.
    """
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 visible ASCII characters"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    # The request is validated: white space, the order of fields, and a field left out or null make no difference.
    canonical = json.dumps(_with_plain_numbers(request), sort_keys=True, separators=(",", ":"))
    holder = _sha256(f"{key} {address}") if viewer is None and key is not None and address else None
    return IdempotencyClaim(viewer or "", key, _sha256(canonical), holder)


def _with_plain_numbers(value: Any) -> Any:
    """Return a value in which `1.0` is `1`, as in the canonical form of JSON (RFC 8785)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _FIRST_INEXACT:
        return int(value)
    if isinstance(value, Mapping):
        return {name: _with_plain_numbers(inner) for name, inner in value.items()}
    return [_with_plain_numbers(inner) for inner in value] if isinstance(value, list) else value


def claim_beside(claim: IdempotencyClaim) -> IdempotencyClaim:
    """Return the claim of an anonymous caller whose key another one uses for another request.

    It is the same from any address. Its key begins with a blank, which no caller's key contains.
    """
    return replace(claim, key=f" {_sha256(f'{claim.key} {claim.fingerprint}')}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
