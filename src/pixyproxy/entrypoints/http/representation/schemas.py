"""Schemas of response bodies, for the OpenAPI document."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from pixyproxy.domain.image import Status, Visibility

_GUID = "0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_IMAGE: dict[str, Any] = {
    "guid": _GUID,
    "filename": "a-rubber-duck-on-a-sink-0b9f1c2d.png",
    "prompt": "a rubber duck on a sink",
    "tags": ["duck"],
    "author": "alice",
    "visibility": "public",
    "status": "ready",
    "created_at": "2026-11-21T10:00:00.123456Z",
    "updated_at": "2026-11-21T10:00:09.654321Z",
    "media_type": "image/png",
    "width": 1024,
    "height": 1024,
    "size_bytes": 1482211,
    "sha256": _SHA256,
    "generator": "openai",
    "model": "gpt-image-2",
    "parameters": {"size": "1024x1024"},
    "revised_prompt": None,
    "usage": {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068},
    "derived_from": [],
    "content_url": f"/image/{_GUID}/content/a-rubber-duck-on-a-sink-0b9f1c2d.png",
    "thumbnail_url": f"/image/{_GUID}/thumbnail",
    "placeholder": "data:image/webp;base64,UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA",
}


class ResponseSchema(BaseModel):
    """Base of response bodies: they have no undocumented fields."""

    model_config = ConfigDict(extra="forbid")


class ImageError(ResponseSchema):
    """The reason why there is no picture."""

    code: str = Field(description="A stable slug.", examples=["prompt-rejected"])
    message: str = Field(description="The generator's own text, if it gave one.")


class ImageDetail(ResponseSchema):
    """All details of an image; those that the generator does not report are null."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_IMAGE]})

    guid: str = Field(json_schema_extra={"format": "uuid"})
    filename: str
    prompt: str
    tags: list[str]
    author: str | None = Field(description="The username; null if the image was created anonymously.")
    visibility: Visibility
    status: Status
    created_at: datetime
    updated_at: datetime
    media_type: str | None = Field(description="Detected from the bytes.")
    width: int | None = Field(description="Pixels.")
    height: int | None = Field(description="Pixels.")
    size_bytes: int | None
    sha256: str | None = Field(description="Of the bytes, in hexadecimal.")
    generator: str
    model: str | None
    parameters: dict[str, Any] = Field(description="The options as they were passed to the generator.")
    revised_prompt: str | None
    usage: dict[str, Any] | None = Field(description="As the generator reports it.")
    derived_from: list[str] = Field(description="The GUIDs of the stored images that this is an edit of.")
    content_url: str = Field(description="The path of the bytes on this host, which ends in the file name.")
    thumbnail_url: str = Field(description="The path of a small picture on this host; `?size=` selects its size.")
    placeholder: str | None = Field(
        description="A preview of a few pixels as a `data:` URI of less than 500 characters; null until it exists."
    )
    error: ImageError | SkipJsonSchema[None] = Field(None, description="Only if there is no picture.")


class FieldProblem(ResponseSchema):
    """One invalid field of the input."""

    loc: list[str | int] = Field(examples=[["prompt"]])
    msg: str = Field(examples=["must not be blank: describe the picture"])


class Problem(ResponseSchema):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:pixyproxy:problem:validation-failed"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["Not valid: prompt."])
    instance: str = Field(description="The path of the request.", examples=["/image"])
    code: str = Field(description="A stable slug.", examples=["validation-failed"])
    request_id: str = Field(examples=["web1-20261121T100000123456-140213"])
    errors: list[FieldProblem] = Field([], description="Only with 422 for invalid input.")
    guid: str = Field("", description="Only if the error concerns a recorded image.")


class Me(ResponseSchema):
    """The user who is logged in."""

    username: str = Field(examples=["alice"])
    class_key: str | None = Field(examples=["cs101"])


class Alive(ResponseSchema):
    """The process is alive."""

    status: Literal["ok"]


class Ready(ResponseSchema):
    """The parts needed to serve, each with `ok` or an error code, and the generator with the reason."""

    status: Literal["ok", "unavailable"]
    database: str = Field(examples=["ok"])
    blob_store: str = Field(examples=["ok"])
    generator: str = Field(examples=["ok"])
