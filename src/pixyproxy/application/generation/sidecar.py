"""The sidecar: a JSON document beside the bytes, from which the row of an image can be rebuilt."""

from collections.abc import Mapping
from datetime import UTC, date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, ImageRequest, ImageResult, Picture, Status, Visibility
from pixyproxy.domain.money.amounts import MAX_USD
from pixyproxy.domain.money.costs import Cost, CostState

VERSION = 1

_Guid = Annotated[str, Field(pattern="^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]


class _Cost(BaseModel):
    """The cost of the picture."""

    model_config = ConfigDict(extra="ignore")

    usd: Annotated[Decimal, Field(ge=0, le=MAX_USD, decimal_places=6)] | None
    state: CostState
    source: str | None = None
    prices_of: date | None = None


class _Sidecar(BaseModel):
    """The fields of a sidecar; later versions may add more."""

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
    # Sidecars written by earlier versions do not have these.
    derived_from: list[_Guid] = []
    batch: _Guid | None = None
    reported: dict[str, Any] | None = None
    cost: Any = None
    hidden: bool = False


def sidecar_of(image: Image) -> dict[str, Any]:
    """Return the sidecar of an image that has a result, as JSON types with times in ISO 8601."""
    request, result = image.request, image.result
    if result is None:
        raise DataValidationError("Only an image with a result has a sidecar.")
    return {
        "version": VERSION,
        "guid": request.guid,
        "filename": request.filename,
        "prompt": request.prompt,
        "tags": list(request.tags),
        "author": request.author,
        "visibility": request.visibility.value,
        "created_at": request.created_at.isoformat(),
        "media_type": result.picture.media_type,
        "width": result.picture.width,
        "height": result.picture.height,
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "generator": request.generator,
        "model": request.model,
        "parameters": dict(request.parameters),
        "revised_prompt": result.revised_prompt,
        "usage": None if result.usage is None else dict(result.usage),
        "derived_from": list(request.derived_from),
        "batch": request.batch,
        "reported": None if result.reported is None else dict(result.reported),
        "cost": None if result.cost is None else result.cost.as_json(),
        "hidden": request.hidden,
    }


def image_of(sidecar: Mapping[str, Any]) -> Image:
    """Return the ready image that a sidecar describes, without an id; raise DataValidationError if it does not."""
    parsed = _parse(sidecar)
    created_at = parsed.created_at.astimezone(UTC)
    request = ImageRequest(
        guid=parsed.guid,
        filename=parsed.filename,
        prompt=parsed.prompt,
        tags=tuple(parsed.tags),
        author=parsed.author,
        visibility=parsed.visibility,
        generator=parsed.generator,
        model=parsed.model,
        parameters=parsed.parameters,
        created_at=created_at,
        derived_from=tuple(parsed.derived_from),
        batch=parsed.batch,
        hidden=parsed.hidden,
    )
    return Image(0, request, Status.READY, updated_at=created_at, result=_result(parsed))


def result_of(sidecar: Mapping[str, Any]) -> ImageResult:
    """Return the result that a sidecar describes; raise DataValidationError if it does not."""
    return _result(_parse(sidecar))


def _parse(sidecar: Mapping[str, Any]) -> _Sidecar:
    try:
        return _Sidecar.model_validate(dict(sidecar))
    except ValidationError as error:
        fields = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        raise DataValidationError(f"The sidecar does not describe an image: {fields}.") from None


def _result(parsed: _Sidecar) -> ImageResult:
    return ImageResult(
        picture=Picture(parsed.media_type, parsed.width, parsed.height),
        size_bytes=parsed.size_bytes,
        sha256=parsed.sha256,
        model=parsed.model,
        revised_prompt=parsed.revised_prompt,
        usage=parsed.usage,
        reported=parsed.reported,
        cost=_cost(parsed.cost),
    )


def _cost(data: Any) -> Cost | None:
    """Return the cost, or None where there is none that can be read: the picture does not depend on it."""
    try:
        parsed = _Cost.model_validate(data)
        return Cost(parsed.usd, parsed.state, parsed.source, parsed.prices_of)
    except ValueError:  # a ValidationError is one
        return None
