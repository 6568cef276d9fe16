"""The inputs of the use cases, as pydantic models that validate them for every entrypoint."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pixyproxy.application.fields import (
    AnyVisibility,
    ClassKey,
    Cursor,
    Filename,
    Guid,
    Guids,
    KeyName,
    Option,
    Password,
    PictureCount,
    Prompt,
    SearchWords,
    Tags,
    Time,
    Username,
)
from pixyproxy.domain.errors import DataValidationError, FieldError

MAX_OPTION_BYTES = 64 * 1024
"""The largest option that is passed on, in bytes of JSON."""
_OPTIONS = ("size", "quality", "background", "output_format")


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
    edit_of: Guids | None = Field(
        None,
        description="The GUIDs of 1 to 16 stored images that this one is made from; one may stand alone.",
        examples=[["0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"]],
    )

    @property
    def options(self) -> dict[str, Any]:
        """The options that are passed on to the generator."""
        return {name: value for name in _OPTIONS if (value := getattr(self, name)) is not None}


class GenerateImages(PictureRequest):
    """Pictures to generate by one call; unknown fields are passed on to the generator."""

    model_config = ConfigDict(extra="allow", strict=True)

    n: PictureCount | None = Field(None, description="How many pictures.", examples=[1])

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Check that options are JSON in UTF-8, because they are sent, recorded and shown in that form."""
        for name, value in (self.model_extra or {}).items():
            try:
                size = len(json.dumps({name: value}, ensure_ascii=False, allow_nan=False).encode())
                reason = f"must be at most {MAX_OPTION_BYTES} bytes long" if size > MAX_OPTION_BYTES else None
            except (ValueError, RecursionError):
                reason = "must be valid Unicode text and finite numbers, not nested too deeply"
            if reason is not None:
                raise DataValidationError(f"Not valid: {_shown(name)}.", [FieldError((_shown(name),), reason)])
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The options that are passed on to the generator."""
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}


class UpdateImage(Command):
    """The changes of an author; fields left out (or null) stay as they are."""

    tags: Tags | None = Field(None, description="The new tags, replacing all old ones.", examples=[["duck", "bath"]])
    visibility: AnyVisibility | None = Field(None, examples=["private"])
    filename: Filename | None = Field(None, description="A bare file name.", examples=["duck.png"])


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
    visibility: AnyVisibility | None = Field(None, description="`private` finds your own images only.")
    # Not `Status`, which also takes what a newer version may have written.
    status: Literal["generating", "ready", "failed", "unknown"] = Field(
        "ready", description="Any status but `ready` finds your own images only."
    )
    created_after: Time | None = Field(None, description="Only images created after this time (ISO 8601).")
    created_before: Time | None = Field(None, description="Only images created before this time (ISO 8601).")


class GetThumbnail(Command):
    """The size of a thumbnail."""

    size: Literal[128, 256, 512, 1024] = Field(
        256, description="Pixels of the longer side; a smaller image keeps its size."
    )


class AddUser(Command):
    """A user to add to the roster."""

    username: Username
    password: Password
    class_key: ClassKey | None = None


class ChangePassword(Command):
    """A new password for a user."""

    username: Username
    password: Password


class AddKey(Command):
    """An API key to add for a user."""

    username: Username
    name: KeyName | None = None
    expires_at: Time | None = None


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


def _shown(name: str) -> str:
    """Return a name from outside with characters escaped that UTF-8 cannot encode."""
    return name.encode(errors="backslashreplace").decode()


def _field_error(detail: Any) -> FieldError:
    kind, msg = detail["type"], detail["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        msg = "is not known here"
    elif kind == "string_unicode":
        msg = "must be valid Unicode text without lone surrogates"
    loc = tuple(p if isinstance(p, int) else _shown(p) for p in detail["loc"])
    return FieldError(loc, msg)
