"""Reading a JSON body: of the right type, bounded, and well-formed."""

import json
from collections.abc import AsyncGenerator
from typing import Any, NoReturn

from starlette.requests import Request

from pixyproxy.entrypoints.http.representation.problems import HTTPProblem

MAX_BODY_BYTES = 1024 * 1024


async def read_json(request: Request) -> Any:
    """The body as JSON values (RFC 8259).

    Raises HTTPProblem: 415 unless the Content-Type is JSON, 413 over 1 MiB, 400 if it is not UTF-8 JSON.
    """
    ensure_json(request)
    return parse_json(await read_bounded(request))


def media_type_of(request: Request) -> str:
    """The media type of the body, lower-case and without parameters; empty if none is declared."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def ensure_json(request: Request) -> None:
    """Raise HTTPProblem 415 unless the Content-Type is JSON."""
    media_type = media_type_of(request)
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise HTTPProblem(415, "Send the body as JSON, with Content-Type: application/json.")


async def read_bounded(request: Request) -> bytes:
    """The body; raises HTTPProblem 413 over 1 MiB."""
    return b"".join([piece async for piece in bounded(request, MAX_BODY_BYTES)])


async def bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body piece by piece; raises HTTPProblem 413 as soon as it is, or is declared, larger than the limit."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        _too_large(limit)
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            _too_large(limit)
        yield piece


def parse_json(body: bytes) -> Any:
    """The JSON values (RFC 8259) of a body; raises HTTPProblem 400 if it is not UTF-8 JSON."""
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


def _too_large(limit: int) -> NoReturn:
    # The server throws the rest of the body away. Closing instead would reset the connection under a client
    # that is still sending, which then never sees this answer.
    raise HTTPProblem(413, f"The body is larger than {limit // (1024 * 1024)} MiB.")


def _no_constant(name: str) -> NoReturn:
    raise HTTPProblem(400, f"The body is not JSON: {name} is not a JSON value.")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object; a name given twice could mean either value (RFC 7493, section 2.3, forbids it)."""
    values = dict(members)
    if len(values) < len(members):
        raise HTTPProblem(400, "The body holds an object with the same name twice.")
    return values
