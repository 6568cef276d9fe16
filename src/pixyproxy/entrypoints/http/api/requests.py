"""The parts of a request as the routes read them: query string, headers and body."""

import json
import re
from collections.abc import AsyncGenerator, Collection
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError

MAX_BODY_BYTES = 1024 * 1024
_MAX_MEDIA_RANGES = 64
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_QUALITY_ZERO = re.compile(r"q=0(\.0{0,3})?")


def read_query(
    request: Request, *, repeatable: Collection[str] = (), numbers: Collection[str] = ()
) -> dict[str, object]:
    """Return the parameters by name: a list if repeatable, an int if it is one of `numbers` and well-formed.

    Unknown names are returned too: the use case refuses them.

    Raises:
        DataValidationError: the query string is not UTF-8, or a parameter is repeated.
    """
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
        )
    except ValueError:
        raise DataValidationError(
            "The query string is malformed: use at most 200 parameters, percent-encoded UTF-8.",
            [FieldError(("query",), "must be percent-encoded UTF-8 with at most 200 parameters")],
        ) from None
    values: dict[str, object] = {}
    for name, text in pairs:
        if name in repeatable:
            found = values.setdefault(name, [])
            assert isinstance(found, list)  # noqa: S101 - for the type checker
            found.append(text)
        elif name in values:
            raise DataValidationError(f"Not valid: {name}.", [FieldError((name,), "must be given once only")])
        else:
            values[name] = int(text) if name in numbers and _NUMBER.fullmatch(text) else text
    return values


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, None without one; raise DataValidationError if there are several."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        message = "must be given once only"
        raise DataValidationError(f"Idempotency-Key {message}.", [FieldError(("Idempotency-Key",), message)])
    return keys[0] if keys else None


def accepts(request: Request, media_type: str) -> bool:
    """Return true if the client accepts this media type (RFC 9110, section 12.5.1).

    The most specific media range that covers it decides. A client that names none accepts any; a range with
    parameters of its own covers no plain type.
    """
    accepted = _accepted(request)
    kind = media_type.partition("/")[0]
    covering = [accepted[name] for name in (media_type, f"{kind}/*", "*/*") if name in accepted]
    return covering[0] if covering else not any(accepted)


def asks_for(request: Request, media_type: str) -> bool:
    """Return true if the client names this media type among those that it accepts."""
    return _accepted(request).get(media_type, False)


def _accepted(request: Request) -> dict[str, bool]:
    """Return the media ranges that a client names, those with parameters of their own with these, and which it accepts.

    Only the first ranges are read, more than any client sends.
    """
    accepted: dict[str, bool] = {}
    for item in ",".join(request.headers.getlist("accept")).split(",", _MAX_MEDIA_RANGES)[:_MAX_MEDIA_RANGES]:
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        own = [parameter for parameter in parameters if parameter and not parameter.startswith("q=")]
        accepted[";".join([name, *own])] = not any(map(_QUALITY_ZERO.fullmatch, parameters))
    return accepted


def prefers_async(request: Request) -> bool:
    """Return true if the client prefers `respond-async` (RFC 7240, section 4.1); other preferences are ignored."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)


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
    """Return the media type of the body in lower case without parameters, empty if none is declared.

    Of a type that is declared twice, as some clients do in one field, it is the first.
    """
    return request.headers.get("content-type", "").partition(";")[0].partition(",")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Return true if the body is declared as JSON."""
    media_type = media_type_of(request)
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def require_json(request: Request) -> None:
    """Raise HTTPException 415 unless the body is declared as JSON."""
    if not is_json(request):
        raise HTTPException(415, "Send the body as JSON, with Content-Type: application/json.")


def parse_json(body: bytes) -> Any:
    """Parse a body as JSON (RFC 8259), with or without a byte order mark.

    Raises:
        HTTPException: 400 if it is not JSON in UTF-8.
    """
    if not body.strip():
        raise HTTPException(400, 'The body is empty: send a JSON object, such as {"prompt": "a duck"}.')
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_members)
    except UnicodeDecodeError:
        raise HTTPException(400, "The body is not UTF-8 text.") from None
    except RecursionError:
        raise HTTPException(400, "The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise HTTPException(400, _describe(error)) from None
    except ValueError:
        # Python limits the digits of an integer.
        raise HTTPException(400, "The body holds a number with too many digits.") from None


def _describe(error: json.JSONDecodeError) -> str:
    """Return a description of a syntax error; Python's own texts differ between its versions."""
    where = f"line {error.lineno}, column {error.colno}"
    if error.pos >= len(error.doc.rstrip()):
        return f"The body is not JSON: it ends too early, at {where}."
    return (
        f"The body is not JSON from {where} on, where it says {error.doc[error.pos :][:20]!r}. Names and texts are in "
        "double quotes, commas separate values, and line breaks in texts are written as \\n."
    )


def _refuse_constant(name: str) -> NoReturn:
    raise HTTPException(400, f"The body is not JSON: {name} is not a JSON value.")


def _unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object; a repeated name is ambiguous, and RFC 7493 (section 2.3) forbids it."""
    values = dict(members)
    if len(values) < len(members):
        raise HTTPException(400, "The body holds an object with the same name twice.")
    return values
