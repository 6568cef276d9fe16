"""JSON responses."""

import json
from collections.abc import Mapping

from starlette.responses import Response

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_json(content: object) -> bytes:
    """Return JSON in UTF-8; lone surrogates are escaped."""
    return _encode(content).encode(errors="backslashreplace")


def json_response(
    content: object | bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    """Return a JSON response that no cache keeps, because what it shows may change or be private.

    Bytes are JSON already.
    """
    body = content if isinstance(content, bytes) else encode_json(content)
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type=media_type)
