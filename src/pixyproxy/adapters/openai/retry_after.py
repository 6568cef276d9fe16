"""The time after which an upstream takes requests again."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pixyproxy.adapters.openai.reading.json_document import parse_json

MAX_RETRY_AFTER_S = 86_400.0

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0,
          "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0}  # fmt: skip
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{0,15})?)\s{0,3}([a-z]{0,7})", re.IGNORECASE)
_FIRST_TIME = 1_000_000_000
"""From here on a number is no duration but a time in seconds since 1970."""
_MEMBERS = ("retry_after", "retryAfter", "retry_after_seconds", "retry_after_ms", "retryDelay", "retry_delay")
"""Names of members of an error document that hold the time, such as Google's."""
_MAX_DEPTH = 4


def retry_after(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Return the seconds until a request may be repeated, None if the response says nothing of it.

    They are those of OpenAI's `Retry-After-Ms`, of `Retry-After` (RFC 9110, 10.2.3; also a duration with units, or a
    time in another form), or of the error document.
    """
    now = _now(headers)
    for name, text in (("retry_after_ms", headers.get("retry-after-ms")), ("", headers.get("retry-after"))):
        if text is not None and (seconds := _seconds(text, name, now)) is not None:
            return seconds
    try:
        document = parse_json(body) if body else None
    except ValueError:
        return None
    return next((found for found in _members(document, now) if found is not None), None)


def _members(value: Any, now: datetime, depth: int = 0) -> Iterator[float | None]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name in _MEMBERS:
            if isinstance(text := value.get(name), (str, int, float)) and not isinstance(text, bool):
                yield _seconds(str(text), name, now)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _members(inner, now, depth + 1)


def _seconds(text: str, name: str, now: datetime) -> float | None:
    """Return the seconds that a text stands for, as a number, a duration with units or a time; None for another."""
    text = text.strip()
    try:
        number = float(text) * (0.001 if name.endswith("_ms") else 1.0)
    except ValueError:
        parts = _DURATION.findall(text)
        if parts and _DURATION.sub("", text).strip() == "" and all(unit.lower() in _UNITS for _, unit in parts):
            return _bounded(sum(float(amount) * _UNITS[unit.lower()] for amount, unit in parts))
        return _until(text, now)
    if math.isnan(number):
        return None
    return _bounded(number - now.timestamp() if _FIRST_TIME <= number < math.inf else number)


def _until(text: str, now: datetime) -> float | None:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            time = parse(text)
        except ValueError:
            continue
        return _bounded((_aware(time) - now).total_seconds())
    return None


def _now(headers: Mapping[str, str]) -> datetime:
    """Return the time by the clock of the upstream, which may differ from ours."""
    try:
        return _aware(parsedate_to_datetime(headers["date"]))
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
