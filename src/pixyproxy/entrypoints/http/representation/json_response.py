"""JSON responses."""

import json
from collections.abc import Mapping

from starlette.responses import Response

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_json(content: object) -> bytes:
    """Return JSON in UTF-8; lone surrogates are escaped."""
    return _encode(content).encode(errors="backslashreplace")


def json_response(
    content: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    """Return a JSON response that no cache keeps, because what it shows may change or be private."""
    return Response(
        encode_json(content), status, {"Cache-Control": "no-store", **(headers or {})}, media_type=media_type
    )
