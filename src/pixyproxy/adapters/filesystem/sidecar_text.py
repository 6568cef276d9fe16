"""The sidecar as the text of a file."""

import json
from collections.abc import Mapping
from typing import Any

from pixyproxy.domain.errors import BlobCorruptError


def encode(sidecar: Mapping[str, Any]) -> bytes:
    """The sidecar as JSON of ASCII characters, which holds any string, lone surrogates too; a member a line."""
    # With `indent` the standard library encodes in Python, which takes three times as long.
    return json.dumps(sidecar, default=_plain, allow_nan=False, separators=(",\n ", ": ")).encode("ascii")


def decode(text: bytes) -> dict[str, Any]:
    """The sidecar in a text; raises BlobCorruptError if it is not a JSON object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BlobCorruptError("The description stored with the picture is not JSON.") from error
    if not isinstance(document, dict):
        raise BlobCorruptError("The description stored with the picture is not a JSON object.")
    return document


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a sidecar cannot hold {type(value).__name__}")
