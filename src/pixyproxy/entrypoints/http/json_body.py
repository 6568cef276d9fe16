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
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise HTTPProblem(400, "The body is not UTF-8 text.") from None
    except RecursionError:
        raise HTTPProblem(400, "The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise HTTPProblem(
            400, f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:
        # Python's own limit for the digits of a whole number.
        raise HTTPProblem(400, "The body holds a number with too many digits.") from None


def _too_large() -> NoReturn:
    # The server throws the rest of the body away. Closing instead would reset the connection under a client
    # that is still sending, which then never sees this answer.
    raise HTTPProblem(413, "The body is larger than 1 MiB.")


def _no_constant(name: str) -> NoReturn:
    raise HTTPProblem(400, f"The body is not JSON: {name} is not a JSON value.")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object; a name given twice could mean either value (RFC 7493, section 2.3, forbids it)."""
    values = dict(members)
    if len(values) < len(members):
        raise HTTPProblem(400, "The body holds an object with the same name twice.")
    return values
