"""The routes below `/v1` as the OpenAPI document describes them."""

from typing import Any

from pixyproxy.entrypoints.http.openai_api.schemas import (
    EMPTY,
    AcceptedImages,
    GenerationBody,
    GenerationForm,
    ImageReference,
    ImagesResponse,
    OfferedModel,
    OfferedModels,
    OpenAIError,
)
from pixyproxy.entrypoints.http.representation.openapi import (
    ERROR_DESCRIPTIONS,
    IDEMPOTENCY_KEY,
    RETRY_AFTER,
    SECURITY,
    Responses,
    error_responses,
    header,
    parameter,
    schema_ref,
)

_PROMPT = "a rubber duck on a sink"
_PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQMAAACQp+OdAAAABlBMVEX/1goUPHgeqfPDAAAAhElEQVR42tXQMQ6CQBhE4Y8fEujk"
    "CHgTvJFH3CN4BI5AuTGEtSCaLYiFnVO9vEmmGP4zl4zAvT9EU0oCfSkrwcBAMNIRTATBTENLQpNCA7N4z8eBU206GGvzgQGG0+o3"
    "yJBPqw3W2uyw1KZA0mLmJkgUgoWdYGUjyGSCJw9amK/Vz1/yAplxHLTjgxe2AAAAAElFTkSuQmCC"
)
_INLINE = {"image_url": _PICTURE}
"""A picture of 64 pixels, so that `/docs` can send an edit as it is."""
_DESCRIPTIONS = {
    **ERROR_DESCRIPTIONS,
    400: "The request is invalid, or the generator refuses it.",
    403: "A page of another site asks for it.",
    404: "There is no such model or image, or none that you may see.",
    409: "The picture is still being generated.",
    422: "The Idempotency-Key was used for another request.",
}

_PREFER = parameter(
    "Prefer",
    "header",
    "With `respond-async` (RFC 7240), and without `stream`, the response is 202, as soon as the call is queued or "
    "begun.",
)

SCHEMAS = (GenerationBody, GenerationForm, ImageReference, OpenAIError)
"""The schemas that the routes refer to by name."""
SECURED: dict[str, Any] = {"security": SECURITY}


def _errors(*statuses: int) -> Responses:
    return error_responses({401, 421, 500, 502, 503, 504, *statuses}, "OpenAIError", "application/json", _DESCRIPTIONS)


IMAGES: Responses = {
    200: {
        "description": "The pictures, which are stored and recorded; or events, with `stream`.",
        "model": ImagesResponse,
        "content": {"text/event-stream": {"schema": {}}},
    },
    202: {
        "description": "They wait or are being made (`Prefer: respond-async`): poll `Location`, and `/image/GUID` of "
        "each `data[i].guid`, until they end.",
        "model": AcceptedImages,
        "headers": {"Location": header("The address of the details of the first."), **RETRY_AFTER},
    },
    **_errors(400, 403, 404, 409, 413, 415, 422, 429, 507),
}
MODELS: Responses = {200: {"description": "All models.", "model": OfferedModels}, **_errors(429)}
MODEL: Responses = {200: {"description": "The model.", "model": OfferedModel}, **_errors(404, 429)}


def generations() -> dict[str, Any]:
    """Describe the request of a generation."""
    schema = {"allOf": [schema_ref("GenerationBody"), schema_ref("GenerationForm")]}
    return _request({"application/json": {"schema": schema, "example": {"prompt": _PROMPT, "response_format": "url"}}})


def edits() -> dict[str, Any]:
    """Describe the request of an edit, in either of its forms."""
    picture = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["image", "prompt"],
        "properties": {
            "image": {"type": "array", "items": picture, "maxItems": 16, "description": "1 to 16, 50 MiB each."},
            "mask": picture,
            "prompt": {"type": "string", "minLength": 1, "maxLength": 32_000, "example": _PROMPT},
        },
        "additionalProperties": True,
    }
    references = {
        "type": "object",
        "required": ["images"],
        "properties": {
            "images": {
                "type": "array",
                "items": schema_ref("ImageReference"),
                "minItems": 1,
                "maxItems": 16,
                "examples": [[_INLINE]],
            },
            "mask": {
                "anyOf": [schema_ref("ImageReference"), EMPTY, {"type": "array", "maxItems": 0}],
                "examples": [_INLINE],
            },
        },
    }
    schema = {"allOf": [schema_ref("GenerationBody"), schema_ref("GenerationForm"), references]}
    example = {"prompt": _PROMPT, "images": [_INLINE], "response_format": "url"}
    return _request(
        {"application/json": {"schema": schema, "example": example}, "multipart/form-data": {"schema": form}}
    )


def _request(content: dict[str, Any]) -> dict[str, Any]:
    return {**SECURED, "parameters": [IDEMPOTENCY_KEY, _PREFER], "requestBody": {"required": True, "content": content}}
