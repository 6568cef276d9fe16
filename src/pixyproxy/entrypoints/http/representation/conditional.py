"""Conditional and range requests (RFC 9110, sections 13 and 14) for a representation that never changes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

MAX_RANGE_LENGTH = 200
"""Characters of a Range field; one that is longer asks for many ranges, which section 15.5.17 lets a server refuse."""
_ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


@dataclass(frozen=True, slots=True)
class Representation:
    """The validators of a resource: a strong entity tag, a date, and its length in bytes."""

    etag: str
    last_modified: datetime
    size: int

    @property
    def http_date(self) -> str:
        """`last_modified` as an HTTP date, in whole seconds."""
        return _http_date(self.last_modified)


class UnsatisfiableRange(Exception):
    """Raised for a range that is refused: it lies wholly outside the representation, or its field is too long."""


def failed_precondition(headers: Mapping[str, str], have: Representation) -> int | None:
    """Return the status that a condition of the request calls for (304 or 412), or None (section 13.2.2)."""
    if "if-match" in headers:
        if not _matches(headers["if-match"], have, weak=False):
            return 412
    elif (since := _date(headers.get("if-unmodified-since"))) is not None and _seconds(have) > since:
        return 412
    if "if-none-match" in headers:
        return 304 if _matches(headers["if-none-match"], have, weak=True) else None
    since = _date(headers.get("if-modified-since"))
    return 304 if since is not None and _seconds(have) <= since else None


def requested_range(headers: Mapping[str, str], have: Representation) -> tuple[int, int] | None:
    """Return the requested range as start and stop (exclusive), or None for the whole.

    Several ranges, an unknown unit and malformed fields mean the whole, as section 14.2 allows.

    Raises:
        UnsatisfiableRange: the range holds no byte, or the field is longer than `MAX_RANGE_LENGTH`.
    """
    field = headers.get("range", "")
    unit, _, ranges = field.partition("=")
    if unit.strip().lower() != "bytes" or not _range_applies(headers.get("if-range"), have):
        return None
    if len(field) > MAX_RANGE_LENGTH:
        raise UnsatisfiableRange
    first, dash, last = (part.strip() for part in ranges.partition("-"))
    if not dash or not f"0{first}{last}".isascii() or not f"0{first}{last}".isdecimal():
        return None
    if first:
        start, stop = _position(first), min(_position(last) + 1, have.size) if last else have.size
        if last and _position(last) < start:
            return None
    elif last:
        start, stop = max(0, have.size - _position(last)), have.size
    else:
        return None
    if start >= stop:
        raise UnsatisfiableRange
    return start, stop


def _position(digits: str) -> int:
    """Return the number, or another beyond any size: Python refuses to parse thousands of digits."""
    return int(digits.lstrip("0")[:20] or "0")


def _range_applies(condition: str | None, have: Representation) -> bool:
    """Return true if If-Range (section 13.1.5) holds the exact strong tag or the exact date, or is absent."""
    return condition is None or condition.strip() in {have.etag, have.http_date}


def _matches(field: str, have: Representation, *, weak: bool) -> bool:
    if field.strip() == "*":
        return True
    opaque = have.etag.strip('"')
    return any(
        found.group(1) == opaque and (weak or not found.group().startswith("W/"))
        for found in _ENTITY_TAG.finditer(field)
    )


@lru_cache
def _http_date(time: datetime) -> str:
    return format_datetime(time.astimezone(UTC), usegmt=True)


def _date(field: str | None) -> datetime | None:
    if field is None:
        return None
    try:
        date = parsedate_to_datetime(field)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _seconds(have: Representation) -> datetime:
    return have.last_modified.replace(microsecond=0)
