"""Cursors: places in lists of images, as text that tells nothing about them."""

import base64
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from pixyproxy.application.derived_key import derive_key
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image

_ID_BYTES = 8


class ImagePage(NamedTuple):
    """A page of images, and the cursor at which the list goes on, None at the end."""

    items: tuple[Image, ...]
    next_cursor: str | None


class Cursors:
    """Encrypts the ids at which lists go on, with AES-SIV (RFC 5297).

    The difference of two ids would tell how many images lie between them, private ones too. All cursors are of one
    length, and any other text is refused. The key is derived from the secret of the service, which is read on first
    use.
    """

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._secret = secret

    @cached_property
    def _cipher(self) -> AESSIV:
        return AESSIV(derive_key(self._secret(), "cursors"))

    def encode(self, before_id: int) -> str:
        """Return a cursor that continues a list before the image with this id."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(before_id.to_bytes(_ID_BYTES, "big"), None)).decode()

    def decode(self, cursor: str) -> int:
        """Return the id in a cursor; raise DataValidationError if `encode` did not make it."""
        try:
            encrypted = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
            before_id = int.from_bytes(self._cipher.decrypt(encrypted, None), "big")
        except (ValueError, InvalidTag):
            before_id = -1
        if before_id < 0 or self.encode(before_id) != cursor:
            message = "must be a cursor from the Link header of an earlier answer, unchanged"
            raise DataValidationError.at(("cursor",), message)
        return before_id
