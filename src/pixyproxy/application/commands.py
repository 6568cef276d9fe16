"""The inputs of the use cases, as pydantic models that validate them for every entrypoint."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixyproxy.application.fields import (
    AnyVisibility,
    ClassKey,
    Cursor,
    Day,
    EarlyViews,
    Filename,
    Guid,
    Guids,
    Option,
    PictureCount,
    PixelSizes,
    Prompt,
    SearchWords,
    Tags,
    Time,
    Username,
)
from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.domain.image import Picture
from pixyproxy.domain.money.budgets import Per
from pixyproxy.domain.money.daily_sums import MAX_DAYS

_OPTIONS = ("size", "quality", "background", "output_format", "partial_images")


class Command(BaseModel):
    """The base of all inputs: no unknown fields, no conversions between types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PictureRequest(Command):
    """The base of requests for pictures. Only the prompt is required."""

    prompt: Prompt = Field(description="What to draw; kept exactly.", examples=["a rubber duck on a sink"])
    tags: Tags | None = Field(
        None,
        description="At most 32 labels of 1 to 64 characters; trimmed, lower-cased, without doubles.",
        examples=[["duck"]],
    )
    visibility: AnyVisibility | None = Field(
        None, description="`public` (default) or `private`, which needs a login.", examples=["public"]
    )
    filename: Filename | None = Field(
        None, description="A bare file name; made from the prompt if left out.", examples=["duck.png"]
    )
    model: Option | None = Field(None, description="Passed on to the generator.", examples=["gpt-image-2"])


class CreateImage(PictureRequest):
    """A picture to generate."""

    size: Option | None = Field(None, description="Passed on to the generator.", examples=["1024x1024"])
    quality: Option | None = Field(None, description="Passed on to the generator.", examples=["low"])
    background: Option | None = Field(None, description="Passed on to the generator.", examples=["opaque"])
    output_format: Option | None = Field(None, description="Passed on to the generator.", examples=["png"])
    partial_images: EarlyViews | None = Field(
        None,
        description="How many early views a stream of events (`Accept: text/event-stream`) has; the generator may bill "
        "them.",
        examples=[2],
    )
    edit_of: Guids | None = Field(
        None,
        description="The GUIDs of 1 to 16 stored images that this one is made from; one may stand alone.",
        examples=[["0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"]],
    )

    @property
    def options(self) -> dict[str, Any]:
        """The options that are passed on to the generator."""
        return {name: value for name in _OPTIONS if (value := getattr(self, name)) not in (None, 0)}


class PriceImages(CreateImage):
    """A picture, or several by one call, to tell the price of."""

    n: PictureCount | None = Field(None, description="How many pictures.", examples=[1])
    edit_sizes: PixelSizes | None = Field(
        None,
        description="The sizes of further edit sources, and of a mask, that will be sent as files: at most 17.",
        examples=[["1024x1024"]],
    )

    @property
    def uploads(self) -> tuple[Picture, ...]:
        """The pictures that will be sent as files."""
        sizes = [size.split("x") for size in self.edit_sizes or ()]
        return tuple(Picture("image/png", int(width), int(height)) for width, height in sizes)


class GenerateImages(PictureRequest):
    """Pictures to generate by one call; unknown fields are passed on to the generator."""

    model_config = ConfigDict(extra="allow", strict=True)

    n: PictureCount | None = Field(None, description="How many pictures.", examples=[1])

    @property
    def options(self) -> dict[str, Any]:
        """The options that are passed on to the generator."""
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}


class UpdateImage(Command):
    """The changes of an author, and of staff; fields left out (or null) stay as they are."""

    tags: Tags | None = Field(None, description="The new tags, replacing all old ones.", examples=[["duck", "bath"]])
    visibility: AnyVisibility | None = Field(None, examples=["private"])
    filename: Filename | None = Field(None, description="A bare file name.", examples=["duck.png"])
    hidden: bool | None = Field(
        None,
        description="By a teacher of the author's class, or an administrator: `true` hides a public image from all but "
        "them and its author, `false` shows it again.",
        examples=[False],
    )


class DeleteImage(Command):
    """The condition on which an image is deleted."""

    status: Literal["queued"] | None = Field(
        None, description="With `queued` the image is cancelled if it still waits for its turn, and else left alone."
    )


class SearchImages(Command):
    """Filters of a list of images; an image must match all of them."""

    limit: int = Field(50, ge=1, le=200, description="How many images a page has at most.")
    cursor: Cursor | None = Field(None, description="Where to go on: taken from the `Link` header of the page before.")
    prompt: SearchWords | None = Field(
        None, description="Words of the prompt, each by its beginning, without regard to case and accents."
    )
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="A part of the file name, without regard to case and accents."
    )
    guid: Guid | None = Field(None, description="The GUID of one image.")
    derived_from: Guid | None = Field(None, description="The GUID of an image that they are edits of.")
    tag: Tags | None = Field(None, description="A tag the image must have; repeat it to ask for several.")
    author: Username | None = Field(None, description="The username of the author.")
    model: Option | None = Field(None, description="The name of the model that made the image.")
    visibility: AnyVisibility | None = Field(None, description="`private` finds your own images only.")
    # Not `Status`, which also takes what a newer version may have written.
    status: Literal["queued", "generating", "ready", "failed", "unknown"] = Field(
        "ready", description="Any status but `ready` finds your own images only."
    )
    created_after: Time | None = Field(None, description="Only images created after this time (ISO 8601).")
    created_before: Time | None = Field(None, description="Only images created before this time (ISO 8601).")


class SetBudget(Command):
    """A cap on spending."""

    cap_usd: str = Field(max_length=32, description="US dollars as decimal text.", examples=["25.00"])
    per: Annotated[Per, Field(strict=False)] | None = Field(
        None,
        description="What the cap is for, `month` if left out; days and months are those of UTC.",
        examples=["month"],
    )


class GetThumbnail(Command):
    """The size of a thumbnail."""

    size: Literal[128, 256, 512, 1024] = Field(
        256, description="Pixels of the longer side; a smaller image keeps its size."
    )


class GetUsage(Command):
    """A question about usage; days are those of UTC, on which the calls began."""

    by: Literal["user", "class", "model", "day"] = Field("user", description="What a row is for.")
    from_: Day | None = Field(
        None, alias="from", description=f"The first day, at most {MAX_DAYS} days with the last; default: of its month."
    )
    to: Day | None = Field(None, description="The last day; default: today.")
    user: Username | None = Field(None, description="Only what this user caused.")
    class_key: ClassKey | None = Field(None, alias="class", description="Only what users of this class caused.")


class SettleImage(Command):
    """A person's word on what the upstream billed for an image that is `unknown`."""

    billed_usd: Annotated[str, Field(max_length=32)] = Field(
        description="US dollars as decimal text, with at most six decimal places; 0: nothing was billed.",
        examples=["0.041"],
        json_schema_extra={"pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?$"},
    )


M = TypeVar("M", bound=Command)


def validate(model: type[M], data: object) -> M:
    """Return the data as this model, validated even if it already is one; raise DataValidationError for its faults."""
    try:
        if isinstance(data, Command):
            data = data.model_dump()
        if not isinstance(data, Mapping):
            raise DataValidationError(
                "The body must be a JSON object.", [FieldError((), "must be a JSON object with named fields")]
            )
        return model.model_validate(dict(data))
    except ValidationError as error:
        errors = [_field_error(detail) for detail in error.errors(include_url=False, include_input=False)]
        where = ", ".join(dict.fromkeys(".".join(map(str, e.loc)) or "input" for e in errors))
        raise DataValidationError(f"Not valid: {where}.", errors) from None


def shown(name: str) -> str:
    """Return a name from outside with characters escaped that UTF-8 cannot encode."""
    return name.encode(errors="backslashreplace").decode()


def _field_error(detail: Any) -> FieldError:
    kind, msg = detail["type"], detail["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        msg = "is not known here"
    elif kind == "string_unicode":
        msg = "must be valid Unicode text without lone surrogates"
    loc = tuple(p if isinstance(p, int) else shown(p) for p in detail["loc"])
    return FieldError(loc, msg)
