"""A search for images, a page of its results, and the cursor to the next page."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, Status, Visibility

# A cursor hides the internal id: the id is scrambled by an invertible multiplication, and a checksum makes sure that a
# mistyped cursor is refused.
_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE = pow(_MULTIPLIER, -1, 2**64)


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """The filters of a list of images, newest first; all that are set must hold.

    `viewer` is the username of the caller, None for an anonymous one: private images, and those whose status is not
    `ready`, are found by their authors only. `terms` are matched by prefix against the search terms of the prompt,
    `filename` is a folded substring, `derived_from` is the GUID of an edit source, the two times are exclusive
    bounds, and `before_id` continues after the image with that id.
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
    """A part of a list of images, and the cursor to the next part, None at the end."""

    items: tuple[Image, ...]
    next_cursor: str | None = None


def encode_cursor(last_id: int) -> str:
    """Return an opaque cursor that continues a list after the image with this id."""
    scrambled = (last_id * _MULTIPLIER % 2**64).to_bytes(8, "big")
    check = binascii.crc32(scrambled).to_bytes(4, "big")
    return base64.urlsafe_b64encode(scrambled + check).decode()


def decode_cursor(cursor: str) -> int:
    """Return the id in a cursor; raise DataValidationError if `encode_cursor` did not make it."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii"))
    except (ValueError, UnicodeError):
        raw = b""
    if len(raw) == 12 and binascii.crc32(raw[:8]) == int.from_bytes(raw[8:], "big"):
        last_id = int.from_bytes(raw[:8], "big") * _INVERSE % 2**64
        if last_id < 2**63 and encode_cursor(last_id) == cursor:
            return last_id
    raise DataValidationError.at(("cursor",), "must be a cursor from the Link header of an earlier answer, unchanged")
