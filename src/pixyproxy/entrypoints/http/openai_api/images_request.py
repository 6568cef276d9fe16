"""A request below `/v1`: the pictures that it asks for, and the form in which it wants them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.entrypoints.http.api.requests import idempotency_key
from pixyproxy.entrypoints.http.openai_api.edit_pictures import names_picture

_FORM_FIELDS = ("stream", "response_format")
_FORMATS = ("b64_json", "url")
_UNSET_IF_EMPTY = frozenset({"background", "model", "moderation", "n", "output_format", "quality", "response_format",
                             "size", "stream", "style", "user"})  # fmt: skip
"""Fields that have no empty value: clients in Go, PHP's null and false, and forms send one for what is not set."""


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """A parsed request; `parameters` describe the pictures, the other fields the response.

    `response_format` is `b64_json` or `url`, None if the client does not say; `retried` is true if it says that it
    repeats a request.
    """

    parameters: Mapping[str, Any]
    stream: bool
    response_format: str | None
    idempotency_key: str | None
    retried: bool


def parse_images_request(request: Request, body: object) -> ImagesRequest:
    """Split a body and its headers; raise DataValidationError if the form of the response is not known."""
    if not isinstance(body, Mapping):
        raise DataValidationError(
            "The body must be a JSON object.", [FieldError((), "must be a JSON object with named fields")]
        )
    body = {name: value for name, value in body.items() if not _is_unset(name, value)}
    stream, response_format = (body.get(name) for name in _FORM_FIELDS)
    if stream not in (None, True, False):
        raise DataValidationError.at(("stream",), "must be true or false")
    if response_format not in (None, *_FORMATS):
        raise DataValidationError.at(("response_format",), f"must be one of {', '.join(_FORMATS)}")
    return ImagesRequest(
        parameters={name: value for name, value in body.items() if name not in _FORM_FIELDS},
        stream=bool(stream),
        response_format=response_format,
        idempotency_key=idempotency_key(request),
        retried=_retry_count(request) > 0,
    )


def _is_unset(name: str, value: object) -> bool:
    return (value == "" and name in _UNSET_IF_EMPTY) or (value in ("", []) and names_picture(name))


def _retry_count(request: Request) -> int:
    """Return how often OpenAI's SDK has sent this request before; it sends no idempotency key of its own."""
    count = request.headers.get("x-stainless-retry-count", "0")
    return int(count) if count.isdecimal() and len(count) < 10 else 0
