"""What to look for among images, and a page of what was found."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.domain.image import Image, Status, Visibility

# The position in the list is the internal id, which must not show: a cursor is the id scrambled by an
# invertible multiplication, with a check so that a mistyped one is refused instead of misread.
_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE = pow(_MULTIPLIER, -1, 2**64)


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images to list, newest first; every filter that is set must hold.

    `viewer` is the username on whose behalf is searched, None for anonymous: a private image is found by
    its author only, and so is one whose status is not `ready`. `terms` are matched by prefix against the
    search terms of the prompt, `filename` is a folded substring, `derived_from` is the GUID of an image that was
    edited, the two times are exclusive bounds, and `before_id` continues after the image with that id.
    """

    viewer: str | None = None
    limit: int = 50
    before_id: int | None = None
    terms: tuple[str, ...] = ()
    filename: str | None = None
    guid: str | None = None
    tags: tuple[str, ...] = ()
    author: str | None = None
    visibility: Visibility | None = None
    status: Status = Status.READY
    derived_from: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some images and the cursor at which the list goes on, None at its end."""

    items: tuple[Image, ...]
    next_cursor: str | None = None


def encode_cursor(last_id: int) -> str:
    """An opaque cursor that continues a list after the image with this id."""
    scrambled = (last_id * _MULTIPLIER % 2**64).to_bytes(8, "big")
    check = binascii.crc32(scrambled).to_bytes(4, "big")
    return base64.urlsafe_b64encode(scrambled + check).decode()


def decode_cursor(cursor: str) -> int:
    """The id behind a cursor; raises DataValidationError for anything that `encode_cursor` did not make."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii"))
    except (ValueError, UnicodeError):
        raw = b""
    if len(raw) == 12 and binascii.crc32(raw[:8]) == int.from_bytes(raw[8:], "big"):
        last_id = int.from_bytes(raw[:8], "big") * _INVERSE % 2**64
        if last_id < 2**63 and encode_cursor(last_id) == cursor:
            return last_id
    message = "must be a cursor from the Link header of an earlier answer, unchanged"
    raise DataValidationError(f"cursor {message}", [FieldError(("cursor",), message)])
