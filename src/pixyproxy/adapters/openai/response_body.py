"""Reading the answer to a generation: bounded bytes, then JSON, then the pictures in it."""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jiter
import pybase64

from pixyproxy.adapters.openai.content_coding import Answer
from pixyproxy.adapters.openai.error_responses import UnpackingError
from pixyproxy.domain.errors import GeneratorResponseError
from pixyproxy.domain.usage import split_usage

MAX_ANSWER_BYTES = 128 * 1024 * 1024
KEPT_BYTES = 1024 * 1024
"""How much is kept of an answer that is too large to be read."""
MAX_PICTURES = 16
"""More are not looked at: nobody can ask for as many."""

MAX_REPORTS = 32
MAX_REPORT_CHARS = 256
"""How many reports of how long a text are passed on, beyond which they are no options of a picture."""

# What an answer, or an event of a stream, holds besides reports of the options that were used.
_NO_REPORTS = {"created", "created_at", "data", "usage", "model", "type", "b64_json", "url", "revised_prompt", "object",
               "id", "event_id", "sequence_number", "partial_image_index", "output_index"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """One picture as the upstream sent it: its bytes, or the address where they are.

    `spoilt` is True as long as `data` is only what came in place of the bytes: an address, or what is no base64.
    """

    data: bytes
    spoilt: bool = False
    url: str | None = None
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None


async def read_body(answer: Answer, limit: int) -> bytes:
    """All bytes of a body.

    Raises GeneratorResponseError, with the beginning of the body, as soon as there are more than `limit` (before
    the first is read where Content-Length says so) or its Content-Encoding does not hold.
    """
    declared = answer.declared_bytes
    if declared is not None and declared > limit:
        raise GeneratorResponseError(f"The generator's answer is too large ({declared} bytes).")
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await answer.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise GeneratorResponseError("The generator's answer is too large.", raw=_beginning(pieces))
    except UnpackingError:
        raise GeneratorResponseError("The generator's answer cannot be unpacked.", raw=_beginning(pieces)) from None
    return b"".join(pieces)


def parse_answer(raw: bytes) -> list[Made]:
    """The pictures of an answer, the usage split among them. Blocks for some milliseconds per megabyte.

    Only a picture must be right: a report of the wrong kind counts as none, and an entry that is spoilt does not
    cost the others. Raises GeneratorResponseError with `raw` where there is neither a picture nor an address of one.
    """
    try:
        document = jiter.from_json(raw, cache_mode="none")
    except ValueError:
        raise GeneratorResponseError("The generator answered with something that is not JSON.", raw=raw) from None
    entries = document.get("data") if isinstance(document, dict) else None
    found = [
        (entry, picture)
        for entry in (entries[:MAX_PICTURES] if isinstance(entries, list) else ())
        if isinstance(entry, dict) and (picture := read_picture(entry)) is not None
    ]
    if not found:
        raise GeneratorResponseError("The generator answered without a picture.", raw=raw)
    if all(picture.spoilt and not picture.url for _, picture in found):
        raise GeneratorResponseError("The generator's picture is not valid base64.", raw=raw)
    shares = split_usage(_usage(document.get("usage")), len(found))
    return [_told(picture, document, entry, share) for (entry, picture), share in zip(found, shares, strict=True)]


def parse_completed(event: Mapping[str, Any]) -> Made | None:
    """The picture of a stream's event that says it is done; None where it holds nothing."""
    picture = read_picture(event)
    return _told(picture, event, event, _usage(event.get("usage"))) if picture else None


def read_picture(entry: Mapping[str, Any]) -> Made | None:
    """The bytes behind `b64_json` or a `data:` address, or another address; None where there is neither."""
    encoded, url = entry.get("b64_json"), entry.get("url")
    if not isinstance(encoded, str):
        encoded = None
    if not isinstance(url, str) or not url:
        url = None
    elif url.startswith("data:"):
        encoded, url = encoded or url.partition(",")[2], None
    if encoded:
        data = decode(encoded)
        return Made(encoded.encode(), spoilt=True) if data is None else Made(data)
    return Made(url.encode(), spoilt=True, url=url) if url else None


def decode(encoded: str) -> bytes | None:
    """The bytes behind strict base64 (RFC 4648, section 4), or None where it is none."""
    try:
        return pybase64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def read_reports(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options that were really used, as the upstream tells them beside the picture; None where it tells none."""
    reported: dict[str, Any] = {}
    for name, value in document.items():
        if name in _NO_REPORTS or len(name) > MAX_REPORT_CHARS or len(reported) == MAX_REPORTS:
            continue
        if isinstance(value, (str, bool, int, float)) and _is_json(value) and len(str(value)) <= MAX_REPORT_CHARS:
            reported[name] = value
    return reported or None


def _told(picture: Made, answer: Mapping[str, Any], entry: Mapping[str, Any], usage: Mapping[str, Any] | None) -> Made:
    """The picture with what is told of it: by its own entry and, for all, by the answer."""
    return replace(
        picture,
        model=_text(answer.get("model")),
        revised_prompt=_text(entry.get("revised_prompt")),
        usage=usage,
        reported=read_reports(answer),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _usage(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) and _is_json(value) else None


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False  # NaN and Infinity are accepted on reading, and no database or client takes them
    return True


def _beginning(pieces: list[bytes]) -> bytes:
    beginning = bytearray()
    for piece in pieces:
        if len(beginning) >= KEPT_BYTES:
            break
        beginning += piece
    return bytes(beginning[:KEPT_BYTES])
