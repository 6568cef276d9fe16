"""Schemas of requests and responses below `/v1`, for the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from pixyproxy.application.commands import GenerateImages
from pixyproxy.entrypoints.http.representation.schemas import ResponseSchema

EMPTY = {"type": "string", "maxLength": 0}
"""The schema of a text with which clients say that a field is not set."""


class GeneratedPicture(ResponseSchema):
    """One picture of a response, with its bytes or its address."""

    guid: str = Field(description="The GUID of the stored image.", json_schema_extra={"format": "uuid"})
    b64_json: str | SkipJsonSchema[None] = Field(None, description="The bytes in base64.")
    url: str | SkipJsonSchema[None] = Field(
        None, description="The address of the bytes; signed and for 24 hours where the image is private."
    )
    revised_prompt: str | SkipJsonSchema[None] = Field(None, description="Only if the generator reports one.")


class ImagesResponse(ResponseSchema):
    """The pictures that were generated."""

    created: int = Field(description="Seconds since 1970.")
    data: list[GeneratedPicture]
    size: str = Field(examples=["1024x1024"])
    output_format: str = Field(examples=["png"])
    quality: str | SkipJsonSchema[None] = None
    background: str | SkipJsonSchema[None] = None
    usage: dict[str, Any] | SkipJsonSchema[None] = Field(None, description="As the generator reports it.")


class AcceptedPicture(ResponseSchema):
    """One picture that waits or is being made."""

    guid: str = Field(description="The GUID of the image.", json_schema_extra={"format": "uuid"})


class AcceptedImages(ResponseSchema):
    """The pictures of a request that is answered before they are made."""

    created: int = Field(description="Seconds since 1970.", examples=[1_795_600_000])
    data: list[AcceptedPicture]


class OfferedModel(ResponseSchema):
    """A model that generates images."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Seconds since 1970.")
    owned_by: str
    shutdown_date: str | SkipJsonSchema[None] = Field(None, description="Only if its shutdown was announced.")


class OfferedModels(ResponseSchema):
    """All models that generate images."""

    object: Literal["list"]
    data: list[OfferedModel]


class OpenAIErrorBody(BaseModel):
    """The error itself."""

    message: str
    type: str | None
    param: str | None
    code: str | None
    guid: str | SkipJsonSchema[None] = Field(None, description="Only if an image is recorded.")


class OpenAIError(BaseModel):
    """An error in OpenAI's envelope; if the generator gave a document of its own, that one, which may hold more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "message": "n: Input should be less than or equal to 10.",
                        "type": "invalid_request_error",
                        "param": "n",
                        "code": "invalid_value",
                    }
                }
            ]
        }
    )

    error: OpenAIErrorBody


def _add_empty(schema: dict[str, Any]) -> None:
    for name in ("model", "n"):
        schema["properties"][name]["anyOf"].append(EMPTY)


class GenerationBody(GenerateImages):
    """Pictures to generate by one call; unknown fields are passed on to the generator, empty texts are not set."""

    model_config = ConfigDict(json_schema_extra=_add_empty)


class GenerationForm(BaseModel):
    """The form of the response."""

    stream: bool | Literal[""] | None = Field(
        None, description="Send events (`text/event-stream`) while the generation runs.", examples=[True]
    )
    partial_images: int | None = Field(
        None, description="The number of partial pictures in a stream: 0 to 3.", examples=[2]
    )
    response_format: Literal["b64_json", "url", ""] | None = Field(
        None,
        description="Bytes or an address; by default what the operator chose, else bytes, for `dall-e-*` an address.",
        examples=["url"],
    )


class ImageReference(BaseModel):
    """A picture to edit: exactly one of the two fields."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": ["file_id"]}, {"required": ["image_url"]}]}
    )

    file_id: str | SkipJsonSchema[None] = Field(
        None, description="The GUID of a stored image.", json_schema_extra={"format": "uuid"}
    )
    image_url: str | SkipJsonSchema[None] = Field(None, description="A `data:` URL, or an address of this service.")
