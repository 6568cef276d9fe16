"""Reading the answer to a generation: bounded bytes, then JSON, then the picture in it."""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import jiter
import pybase64

from pixyproxy.domain.errors import GeneratorAnswerError

MAX_ANSWER_BYTES = 128 * 1024 * 1024
KEPT_BYTES = 1024 * 1024
"""How much is kept of an answer that is too large to be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A success as the upstream sent it: `data` holds the picture, or `url` says where it is."""

    data: bytes
    url: str | None
    model: str | None
    revised_prompt: str | None
    usage: Mapping[str, Any] | None


async def read_body(response: httpx2.Response, limit: int) -> bytes:
    """All bytes of a body.

    Raises GeneratorAnswerError, with the beginning of the body, as soon as there are more than `limit` (before
    the first is read where Content-Length says so) or its Content-Encoding does not hold.
    """
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise GeneratorAnswerError(f"The generator's answer is too large ({declared[:20]} bytes).")
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise GeneratorAnswerError("The generator's answer is too large.", raw=_beginning(pieces))
    except httpx2.DecodingError:
        raise GeneratorAnswerError("The generator's answer cannot be unpacked.", raw=_beginning(pieces)) from None
    return b"".join(pieces)


def parse_answer(raw: bytes) -> Answer:
    """What the answer holds. Blocks for some milliseconds per megabyte.

    Only the picture must be right: a report of the wrong kind counts as none. Raises GeneratorAnswerError
    with `raw` where there is neither a picture nor an address of one.
    """
    try:
        document = jiter.from_json(raw, cache_mode="none")
    except ValueError:
        raise GeneratorAnswerError("The generator answered with something that is not JSON.", raw=raw) from None
    entries = document.get("data") if isinstance(document, dict) else None
    entry = entries[0] if isinstance(entries, list) and entries else None
    if not isinstance(entry, dict):
        raise GeneratorAnswerError("The generator answered without a picture.", raw=raw)
    encoded, url = entry.get("b64_json"), entry.get("url")
    if not isinstance(encoded, str):
        encoded = None
    if not isinstance(url, str) or not url:
        url = None
    elif url.startswith("data:"):
        encoded, url = encoded or url.partition(",")[2], None
    if not encoded and not url:
        raise GeneratorAnswerError("The generator answered without a picture.", raw=raw)
    return Answer(
        data=decode(encoded, raw) if encoded else b"",
        url=None if encoded else url,
        model=_text(document.get("model")),
        revised_prompt=_text(entry.get("revised_prompt")),
        usage=_usage(document.get("usage")),
    )


def decode(encoded: str, raw: bytes) -> bytes:
    """The bytes behind strict base64 (RFC 4648, section 4). Raises GeneratorAnswerError with `raw`."""
    try:
        return pybase64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise GeneratorAnswerError("The generator's picture is not valid base64.", raw=raw) from None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _usage(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, dict):
        return None
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return None  # NaN and Infinity are accepted on reading, and no database or client takes them
    return value


def _beginning(pieces: list[bytes]) -> bytes:
    beginning = bytearray()
    for piece in pieces:
        if len(beginning) >= KEPT_BYTES:
            break
        beginning += piece
    return bytes(beginning[:KEPT_BYTES])
