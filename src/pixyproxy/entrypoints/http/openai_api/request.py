"""What a client asks for below `/v1`, in two parts: the pictures, and the form in which it wants them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.entrypoints.http.api.preferences import idempotency_key

_FORM = ("stream", "response_format")
_FORMATS = ("b64_json", "url")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: `wanted` goes to the use case; with `stream` events are sent, with `by_url` addresses and not bytes.

    `idempotency_key` is None without one; `retried` is true where the client says that it is a repeat.
    """

    wanted: Mapping[str, Any]
    stream: bool
    by_url: bool
    idempotency_key: str | None
    retried: bool


def read_asked(request: Request, body: object) -> Asked:
    """What the body and the headers ask for; raises DataValidationError for a form that is not known."""
    if not isinstance(body, Mapping):
        raise DataValidationError(
            "The body must be a JSON object.", [FieldError((), "must be a JSON object with named fields")]
        )
    stream, response_format = (body.get(name) for name in _FORM)
    if stream not in (None, True, False):
        raise DataValidationError.at(("stream",), "must be true or false")
    if response_format not in (None, *_FORMATS):
        raise DataValidationError.at(("response_format",), f"must be one of {', '.join(_FORMATS)}")
    return Asked(
        wanted={name: value for name, value in body.items() if name not in _FORM},
        stream=bool(stream),
        by_url=response_format == "url",
        idempotency_key=idempotency_key(request),
        retried=_retries(request) > 0,
    )


def _retries(request: Request) -> int:
    """How often OpenAI's SDK has sent this request before: it sends no idempotency key of its own."""
    count = request.headers.get("x-stainless-retry-count", "0")
    return int(count) if count.isdecimal() and len(count) < 10 else 0
