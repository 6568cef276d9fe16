"""Error responses of the upstream: message, codes, the document that may be passed on, and the time to wait."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

MAX_MESSAGE_CHARS = 1000
MAX_DOCUMENT_BYTES = 16 * 1024
MAX_DEPTH = 16
"""Limits on an error document that is passed on."""
MAX_RETRY_AFTER_S = 86_400.0

_SECRETS = re.compile(r"Bearer\s+\S+|\b(?:sk|org|proj)[-_][\w*.-]{3,}|[^\s*]{0,64}\*{3,}\S{0,64}", re.IGNORECASE)


class ErrorMessage(NamedTuple):
    """Message, made safe to show, and codes of an error document."""

    message: str
    codes: frozenset[str]


def read_error_message(body: bytes, api_key: str) -> ErrorMessage:
    """Return message and codes of an error document in OpenAI's shape or one of those seen in its imitations."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    error = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(error, str):
        return ErrorMessage(sanitize(error, api_key), frozenset())
    if not isinstance(error, dict):
        return ErrorMessage("", frozenset())
    message = next((text for key in ("message", "detail") if isinstance(text := error.get(key), str)), "")
    codes = frozenset(code for key in ("code", "type") if isinstance(code := error.get(key), str))
    return ErrorMessage(sanitize(message, api_key), codes)


def sanitize(text: str, api_key: str) -> str:
    """Return the text on one line, shortened, without control characters and without anything that looks secret."""
    bounded = text[: MAX_MESSAGE_CHARS * 4]
    if api_key:
        bounded = bounded.replace(api_key, "[…]")
    printable = "".join(char if char.isprintable() else " " for char in bounded)
    line = " ".join(_SECRETS.sub("[…]", printable).split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"


def read_error_document(body: bytes, api_key: str) -> Mapping[str, Any] | None:
    """Return an error document in OpenAI's shape, `{"error": {…}}`, unchanged, if all of it may be passed on.

    Return None for any other shape, for one that is too large or not valid JSON again, and if any text in it looks
    like a secret.
    """
    if len(body) > MAX_DOCUMENT_BYTES:
        return None
    try:
        document: Any = json.loads(body)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("error"), dict):
        return None
    for depth, text in _texts(document):
        if depth > MAX_DEPTH or (api_key and api_key in text) or _SECRETS.search(text):
            return None
    return document


def _texts(document: object) -> Iterator[tuple[int, str]]:
    """Yield the depth and value of every text in the document, names included; containers count as empty texts."""
    left = [(0, document)]
    while left:
        depth, value = left.pop()
        if isinstance(value, str):
            yield depth, value
        elif isinstance(value, (dict, list)):
            yield depth, ""
            inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            left += [(depth + 1, each) for each in inner]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110, 10.2.3) or OpenAI's `Retry-After-Ms`, or None."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return _bounded(seconds)
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    try:
        now = parsedate_to_datetime(headers["date"])  # the server's clock, which may differ from ours
    except (KeyError, ValueError):
        now = datetime.now(UTC)
    return _bounded((_aware(until) - _aware(now)).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
