"""Bounded request bodies, and their JSON."""

import json
from collections.abc import AsyncGenerator
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_BODY_BYTES = 1024 * 1024


class BoundedRequest(Request):
    """A request whose body is refused as soon as it is, or is declared to be, larger than a limit.

    Starlette's own limit (`max_body_size`) answers in plain text, also in place of a 401 or 415, so it is not used.
    """

    def __init__(self, request: Request, max_bytes: int) -> None:
        super().__init__(request.scope, request.receive)
        self._max_bytes = max_bytes

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece; raise HTTPException 413 if it is too large."""
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 15 or int(declared) > self._max_bytes):
            self._refuse()
        size = 0
        async for piece in super().stream():
            size += len(piece)
            if size > self._max_bytes:
                self._refuse()
            yield piece

    def _refuse(self) -> NoReturn:
        # The server discards the rest of the body. Closing the connection would reset it under a client that is
        # still sending, which then never sees this response.
        raise HTTPException(413, f"The body is larger than {self._max_bytes // (1024 * 1024)} MiB.")


async def read_json(request: Request) -> Any:
    """Return the body as JSON values (RFC 8259).

    Raises:
        HTTPException: 415 unless the Content-Type is JSON, 413 over 1 MiB, 400 if it is not JSON in UTF-8.
    """
    require_json(request)
    return parse_json(await BoundedRequest(request, MAX_BODY_BYTES).body())


def media_type_of(request: Request) -> str:
    """Return the media type of the body in lower case without parameters, empty if none is declared."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """Raise HTTPException 415 unless the Content-Type is JSON."""
    media_type = media_type_of(request)
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise HTTPException(415, "Send the body as JSON, with Content-Type: application/json.")


def parse_json(body: bytes) -> Any:
    """Parse a body as JSON (RFC 8259); raise HTTPException 400 if it is not JSON in UTF-8."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique_members)
    except UnicodeDecodeError:
        raise HTTPException(400, "The body is not UTF-8 text.") from None
    except RecursionError:
        raise HTTPException(400, "The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise HTTPException(
            400, f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:
        # Python limits the digits of an integer.
        raise HTTPException(400, "The body holds a number with too many digits.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise HTTPException(400, f"The body is not JSON: {name} is not a JSON value.")


def _unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object; a repeated name is ambiguous, and RFC 7493 (section 2.3) forbids it."""
    values = dict(members)
    if len(values) < len(members):
        raise HTTPException(400, "The body holds an object with the same name twice.")
    return values
