"""The sidecar: a JSON document beside the bytes from which the record of an image can be made again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, ImageResult, Picture, Status, Visibility

VERSION = 1

_Guid = Annotated[str, Field(pattern="^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]


class _Sidecar(BaseModel):
    """What a sidecar must hold; later versions may hold more."""

    model_config = ConfigDict(extra="ignore")

    version: Annotated[int, Field(ge=1)]
    guid: str
    filename: str
    prompt: str
    tags: list[str]
    author: str | None
    visibility: Visibility
    created_at: AwareDatetime
    media_type: str
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    generator: str
    model: str | None
    parameters: dict[str, Any]
    revised_prompt: str | None
    usage: dict[str, Any] | None
    # Sidecars that were written before there were edits and batches do not have these.
    derived_from: list[_Guid] = []
    batch: _Guid | None = None
    reported: dict[str, Any] | None = None


def sidecar_of(image: Image, result: ImageResult) -> dict[str, Any]:
    """Everything that is known of an image when its bytes are stored, as JSON types; times in ISO 8601."""
    return {
        "version": VERSION,
        "guid": image.guid,
        "filename": result.filename,
        "prompt": image.prompt,
        "tags": list(image.tags),
        "author": image.author,
        "visibility": image.visibility.value,
        "created_at": image.created_at.isoformat(),
        "media_type": result.picture.media_type,
        "width": result.picture.width,
        "height": result.picture.height,
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "generator": image.generator,
        "model": result.model,
        "parameters": dict(image.parameters),
        "revised_prompt": result.revised_prompt,
        "usage": None if result.usage is None else dict(result.usage),
        "derived_from": list(image.derived_from),
        "batch": image.batch,
        "reported": None if result.reported is None else dict(result.reported),
    }


def sidecar_of_ready(image: Image) -> dict[str, Any]:
    """The sidecar of an image that is ready, as it is now; raises DataValidationError for any other."""
    picture = Picture(image.media_type or "", image.width or 0, image.height or 0)
    if image.size_bytes is None or image.sha256 is None:
        raise DataValidationError("Only a ready image has a sidecar.")
    return sidecar_of(
        image,
        ImageResult(
            filename=image.filename,
            picture=picture,
            size_bytes=image.size_bytes,
            sha256=image.sha256,
            model=image.model,
            revised_prompt=image.revised_prompt,
            usage=image.usage,
            reported=image.reported,
        ),
    )


def result_of(sidecar: Mapping[str, Any]) -> ImageResult:
    """What was made, read from a sidecar; raises DataValidationError if it is not one."""
    return _result(_parse(sidecar))


def image_of(sidecar: Mapping[str, Any]) -> Image:
    """The ready image that a sidecar describes, without an id; raises DataValidationError if it is not one."""
    parsed = _parse(sidecar)
    result = _result(parsed)
    created_at: datetime = parsed.created_at.astimezone(UTC)
    return Image(
        id=0,
        guid=parsed.guid,
        filename=result.filename,
        prompt=parsed.prompt,
        tags=tuple(parsed.tags),
        author=parsed.author,
        visibility=parsed.visibility,
        status=Status.READY,
        created_at=created_at,
        updated_at=created_at,
        generator=parsed.generator,
        model=result.model,
        parameters=parsed.parameters,
        media_type=result.picture.media_type,
        width=result.picture.width,
        height=result.picture.height,
        size_bytes=result.size_bytes,
        sha256=result.sha256,
        revised_prompt=result.revised_prompt,
        usage=result.usage,
        reported=result.reported,
        derived_from=tuple(parsed.derived_from),
        batch=parsed.batch,
    )


def _parse(sidecar: Mapping[str, Any]) -> _Sidecar:
    try:
        return _Sidecar.model_validate(dict(sidecar))
    except ValidationError as error:
        fields = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        raise DataValidationError(f"The sidecar does not describe an image: {fields}.") from None


def _result(parsed: _Sidecar) -> ImageResult:
    return ImageResult(
        filename=parsed.filename,
        picture=Picture(parsed.media_type, parsed.width, parsed.height),
        size_bytes=parsed.size_bytes,
        sha256=parsed.sha256,
        model=parsed.model,
        revised_prompt=parsed.revised_prompt,
        usage=parsed.usage,
        reported=parsed.reported,
    )
