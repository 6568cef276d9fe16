"""Signed URLs: addresses that give anyone who has them temporary access to a private image."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from urllib.parse import urlencode

from pixyproxy.application.derived_key import derive_key
from pixyproxy.ports.clock import Clock

VALID_FOR = timedelta(hours=24)
_SIGNATURE_BYTES = 16


class SignedUrls:
    """Signs a GUID and an expiry time with HMAC-SHA256 (RFC 2104).

    The key is derived from the secret of the service, which is read on first use.
    """

    def __init__(self, secret: Callable[[], bytes], clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    @cached_property
    def _key(self) -> bytes:
        return derive_key(self._secret(), "content-urls")

    def query_for(self, guid: str) -> str:
        """Return the query string that opens an image for `VALID_FOR` from now on."""
        expires = str(int((self._clock.now() + VALID_FOR).timestamp()))
        return urlencode({"expires": expires, "signature": self._signature(guid, expires)})

    def opens(self, guid: str, expires: str, signature: str) -> bool:
        """Return whether an expiry time and a signature from a query string open an image now."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and signature.isascii()):
            return False
        right = hmac.compare_digest(signature, self._signature(guid, expires))
        return right and self._clock.now().timestamp() < int(expires)

    def opens_query(self, guid: str, query: Mapping[str, object]) -> bool:
        """Return whether the query of an address opens an image now."""
        expires, signature = query.get("expires"), query.get("signature")
        return bool(expires and signature) and self.opens(guid, str(expires), str(signature))

    def _signature(self, guid: str, expires: str) -> str:
        digest = hmac.digest(self._key, f"{guid.lower()}\n{expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_SIGNATURE_BYTES]).rstrip(b"=").decode()
