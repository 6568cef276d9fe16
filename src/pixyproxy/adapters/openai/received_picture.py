"""Pictures in a response of the images API, with their usage and the options that were used."""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jiter
import pybase64

from pixyproxy.domain.errors import GeneratorResponseError
from pixyproxy.domain.usage import split_usage

MAX_RESPONSE_BYTES = 128 * 1024 * 1024
MAX_PICTURES = 16
"""Further pictures are ignored: no request can ask for more."""

MAX_REPORTED = 32
MAX_REPORTED_CHARS = 256
"""Limits on the reported options: their number and the length of a text."""

# Members of a response, or of a stream's event, that are not options.
_NOT_OPTIONS = {"created", "created_at", "data", "usage", "model", "type", "b64_json", "url", "revised_prompt",
                "object", "id", "event_id", "sequence_number", "partial_image_index", "output_index"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """One picture as the upstream sent it: its bytes, or the address where they are.

    `undecoded` is True while `data` is not yet the picture: an address, or text that is not base64.
    """

    data: bytes
    undecoded: bool = False
    url: str | None = None
    model: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    reported: Mapping[str, Any] | None = None


def parse_response(raw: bytes) -> list[ReceivedPicture]:
    """Return the pictures of a response, the usage split among them. Blocks for some milliseconds per megabyte.

    Metadata of the wrong type is ignored, and one bad entry does not cost the others.
    Raises GeneratorResponseError, with `raw`, if there is neither a picture nor the address of one.
    """
    try:
        document = jiter.from_json(raw, cache_mode="none")
    except ValueError:
        raise GeneratorResponseError("The generator's response is not JSON.", raw=raw) from None
    entries = document.get("data") if isinstance(document, dict) else None
    found = [
        (entry, picture)
        for entry in (entries[:MAX_PICTURES] if isinstance(entries, list) else ())
        if isinstance(entry, dict) and (picture := read_picture(entry)) is not None
    ]
    if not found:
        raise GeneratorResponseError("The generator's response holds no picture.", raw=raw)
    if all(picture.undecoded and not picture.url for _, picture in found):
        raise GeneratorResponseError("The generator's picture is not valid base64.", raw=raw)
    shares = split_usage(_usage(document.get("usage")), len(found))
    return [
        _with_metadata(picture, document, entry, share) for (entry, picture), share in zip(found, shares, strict=True)
    ]


def parse_completed_event(event: Mapping[str, Any]) -> ReceivedPicture | None:
    """Return the picture of a stream's `completed` event, or None if it holds none."""
    picture = read_picture(event)
    return _with_metadata(picture, event, event, _usage(event.get("usage"))) if picture else None


def read_picture(entry: Mapping[str, Any]) -> ReceivedPicture | None:
    """Decode `b64_json` or a `data:` address, or return another address; None if there is neither."""
    encoded, url = entry.get("b64_json"), entry.get("url")
    if not isinstance(encoded, str):
        encoded = None
    if not isinstance(url, str) or not url:
        url = None
    elif url.startswith("data:"):
        encoded, url = encoded or url.partition(",")[2], None
    if encoded:
        try:
            return ReceivedPicture(pybase64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            return ReceivedPicture(encoded.encode(), undecoded=True)
    return ReceivedPicture(url.encode(), undecoded=True, url=url) if url else None


def read_reported_options(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the options that the upstream says it used, or None if it says nothing."""
    reported: dict[str, Any] = {}
    for name, value in document.items():
        if name in _NOT_OPTIONS or len(name) > MAX_REPORTED_CHARS or len(reported) == MAX_REPORTED:
            continue
        if isinstance(value, (str, bool, int, float)) and _is_json(value) and len(str(value)) <= MAX_REPORTED_CHARS:
            reported[name] = value
    return reported or None


def _with_metadata(
    picture: ReceivedPicture, response: Mapping[str, Any], entry: Mapping[str, Any], usage: Mapping[str, Any] | None
) -> ReceivedPicture:
    return replace(
        picture,
        model=_text(response.get("model")),
        revised_prompt=_text(entry.get("revised_prompt")),
        usage=usage,
        reported=read_reported_options(response),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _usage(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) and _is_json(value) else None


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False  # the parser accepts NaN and Infinity, but no database or client does
    return True
