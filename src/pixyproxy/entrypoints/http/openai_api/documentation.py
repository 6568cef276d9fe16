"""What the OpenAPI document says of the routes below `/v1`."""

from typing import Any

from pixyproxy.application.commands import GenerateImages
from pixyproxy.entrypoints.http.openai_api.schemas import (
    GenerationForm,
    ImageReference,
    ImagesResponse,
    OfferedModel,
    OfferedModels,
    OpenAIError,
)
from pixyproxy.entrypoints.http.representation.openapi import SECURITY

_STORED = {"file_id": "0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"}
Documented = dict[int | str, dict[str, Any]]

SCHEMAS = (GenerateImages, GenerationForm, ImageReference, OpenAIError)
"""What the routes refer to by name."""
SECURED: dict[str, Any] = {"security": SECURITY}

_MEANING = {
    400: "Something in the request is wrong, or the generator refuses it.",
    401: "Credentials are needed, or those given are wrong.",
    404: "There is no such thing, or none that you may see.",
    409: "What is asked for is still being made.",
    413: "The body is too large.",
    415: "The body is neither of the types that are read here.",
    422: "The Idempotency-Key was used for another request.",
    429: "The generator asks for fewer requests.",
    500: "A fault of the service.",
    502: "The generator failed or answered nonsense.",
    503: "The database is away, or all places are taken.",
    504: "The generator did not answer in time.",
    507: "No space is left.",
}
_HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "As in `POST /image`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }
]


def _errors(*statuses: int) -> Documented:
    reference = {"schema": {"$ref": "#/components/schemas/OpenAIError"}}
    return {
        status: {"description": _MEANING[status], "content": {"application/json": reference}}
        for status in sorted({401, 500, 502, 503, 504, *statuses})
    }


IMAGES: Documented = {
    200: {
        "description": "The pictures are made, stored and recorded; or events, with `stream`.",
        "model": ImagesResponse,
        "content": {"text/event-stream": {"schema": {}}},
    },
    **_errors(400, 404, 409, 413, 415, 422, 429, 507),
}
MODELS: Documented = {200: {"description": "All of them.", "model": OfferedModels}, **_errors(429)}
MODEL: Documented = {200: {"description": "This one.", "model": OfferedModel}, **_errors(404, 429)}


def generations() -> dict[str, Any]:
    """The request of a generation."""
    schema = {"allOf": [_reference("GenerateImages"), _reference("GenerationForm")]}
    return {
        **SECURED,
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }


def edits() -> dict[str, Any]:
    """The request of an edit, in either of its forms."""
    picture = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["image", "prompt"],
        "properties": {
            "image": {"type": "array", "items": picture, "maxItems": 16, "description": "1 to 16, 50 MiB each."},
            "mask": picture,
            "prompt": {"type": "string", "minLength": 1, "maxLength": 32_000},
        },
        "additionalProperties": True,
    }
    document = {
        "type": "object",
        "required": ["images"],
        "properties": {
            "images": {
                "type": "array",
                "items": _reference("ImageReference"),
                "minItems": 1,
                "maxItems": 16,
                "example": [_STORED],
            },
            "mask": {"allOf": [_reference("ImageReference")], "example": _STORED},
        },
    }
    schema = {"allOf": [_reference("GenerateImages"), _reference("GenerationForm"), document]}
    return {
        **SECURED,
        "parameters": _HEADERS,
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}, "application/json": {"schema": schema}},
        },
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
