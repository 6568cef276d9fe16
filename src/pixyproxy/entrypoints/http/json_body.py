"""Reading a JSON body: of the right type, bounded, and well-formed."""

import json
from typing import Any, NoReturn

from starlette.requests import Request

from pixyproxy.entrypoints.http.problems import HTTPProblem

MAX_BODY_BYTES = 1024 * 1024


async def read_json(request: Request) -> Any:
    """The body as JSON values (RFC 8259).

    Raises HTTPProblem: 415 unless the Content-Type is JSON, 413 over 1 MiB, 400 if it is not UTF-8 JSON.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise HTTPProblem(415, "Send the body as JSON, with Content-Type: application/json.")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        _too_large()
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            _too_large()
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise HTTPProblem(400, "The body is not UTF-8 text.") from None
    except RecursionError:
        raise HTTPProblem(400, "The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise HTTPProblem(
            400, f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError as error:
        raise HTTPProblem(400, f"The body is not JSON: {error}.") from None


def _too_large() -> NoReturn:
    # The rest of the body is not read, so the connection cannot be used again.
    raise HTTPProblem(413, "The body is larger than 1 MiB.", headers={"Connection": "close"})


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
