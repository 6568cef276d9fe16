"""What the use cases accept, as pydantic models that revalidate it whoever calls."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pixyproxy.domain.errors import DataValidationError, FieldError
from pixyproxy.domain.filename import filename_problem
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import decode_cursor
from pixyproxy.domain.tags import MAX_TAG_LENGTH, MAX_TAGS, normalise_tags, tag_problem
from pixyproxy.domain.text import query_terms

MAX_PROMPT_LENGTH = 32_000
MAX_QUERY_TERMS = 64
"""Words in one search; the database joins a list of terms for each."""


def _good_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("must not be blank: describe the picture")
    if "\x00" in prompt:
        raise ValueError("must not contain NUL characters (U+0000)")
    return prompt


def _good_tags(tags: list[str]) -> list[str]:
    if any(len(tag) > MAX_TAG_LENGTH for tag in tags):
        raise ValueError(f"each tag must be at most {MAX_TAG_LENGTH} characters long")
    normalised = normalise_tags(tags)
    for tag in normalised:
        if problem := tag_problem(tag):
            raise ValueError(f"each tag {problem}")
    return list(normalised)


def _good_filename(filename: str) -> str:
    if problem := filename_problem(filename):
        raise ValueError(problem)
    return filename


def _is_printable(text: str) -> bool:
    """Whether nothing in the text steers or breaks a line; characters newer than this Python count as printable."""
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


def _good_option(option: str) -> str:
    if not _is_printable(option) or not option.strip():
        raise ValueError("must be printable and not blank")
    return option


def _good_username(username: str) -> str:
    if username != username.strip() or not _is_printable(username) or ":" in username:
        raise ValueError("must be printable, without ':' and without white space at either end")
    return username


def _searchable(prompt: str) -> str:
    terms = query_terms(prompt)
    if not terms:
        raise ValueError("must contain something to search for")
    if len(terms) > MAX_QUERY_TERMS:
        raise ValueError(f"must be at most {MAX_QUERY_TERMS} different words")
    return prompt


def _good_cursor(cursor: str) -> str:
    try:
        decode_cursor(cursor)
    except DataValidationError as error:
        raise ValueError(error.errors[0].msg) from None
    return cursor


def _parse_time(value: object) -> object:
    """Accept ISO 8601 text beside datetimes; what has no zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a time in ISO 8601, such as 2026-11-21T10:00:00Z") from None
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be a time in the years 1 to 9999") from None
    return value


# What the validators above check, as far as JSON Schema can say it: for whoever reads the schema, and for
# tools that make requests from it. The code decides.
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_INNER = rf"[^\s{_CONTROL}]"
_ONE_LINE = rf"^[^{_CONTROL}]*{_INNER}[^{_CONTROL}]*$"
_TRIMMED = rf"^\s*{_INNER}([^{_CONTROL}]*{_INNER})?\s*$"
_BARE_NAME = rf"^(?!\.\.?$)[^\s/\\{_CONTROL}]([^/\\{_CONTROL}]*[^\s/\\{_CONTROL}])?$"
_NO_COLON = rf"^[^\s:{_CONTROL}]([^:{_CONTROL}]*[^\s:{_CONTROL}])?$"


def _schema(**members: Any) -> Any:
    """Members of the JSON schema that are documentation only."""
    return Field(json_schema_extra=members)


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_LENGTH),
    _schema(pattern=r"\S"),
    AfterValidator(_good_prompt),
]
Tag = Annotated[str, _schema(minLength=1, maxLength=MAX_TAG_LENGTH, pattern=_TRIMMED)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_good_tags)]
Filename = Annotated[
    str, Field(min_length=1, max_length=255), _schema(pattern=_BARE_NAME), AfterValidator(_good_filename)
]
Option = Annotated[str, Field(min_length=1, max_length=255), _schema(pattern=_ONE_LINE), AfterValidator(_good_option)]
Username = Annotated[
    str, Field(min_length=1, max_length=64), _schema(pattern=_NO_COLON), AfterValidator(_good_username)
]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
AnyVisibility = Annotated[Visibility, Field(strict=False)]
Time = Annotated[datetime, BeforeValidator(_parse_time)]


class Command(BaseModel):
    """Base of all inputs: no unknown fields, no conversions between types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CreateImage(Command):
    """A picture to be made. Every option but the prompt may be left out."""

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
    size: Option | None = Field(None, description="Passed on to the generator.", examples=["1024x1024"])
    quality: Option | None = Field(None, description="Passed on to the generator.", examples=["low"])
    background: Option | None = Field(None, description="Passed on to the generator.", examples=["opaque"])
    output_format: Option | None = Field(None, description="Passed on to the generator.", examples=["png"])


class UpdateImage(Command):
    """What an author may change; fields left out (or null) stay as they are."""

    tags: Tags | None = Field(None, description="The new tags, replacing all old ones.", examples=[["duck", "bath"]])
    visibility: AnyVisibility | None = Field(None, examples=["private"])
    filename: Filename | None = Field(None, description="A bare file name.", examples=["duck.png"])


class SearchImages(Command):
    """Filters of a list of images, all of which must hold."""

    limit: int = Field(50, ge=1, le=200, description="How many images a page has at most.")
    cursor: Annotated[str, _schema(pattern="^[A-Za-z0-9_-]{16}$"), AfterValidator(_good_cursor)] | None = Field(
        None, description="Where to go on: taken from the `Link` header of the page before."
    )
    prompt: (
        Annotated[str, Field(min_length=1, max_length=1000), _schema(pattern=_INNER), AfterValidator(_searchable)]
        | None
    ) = Field(None, description="Words of the prompt, each by its beginning, without regard to case and accents.")
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="A part of the file name, without regard to case and accents."
    )
    guid: Annotated[str, _schema(format="uuid")] | None = Field(None, description="The GUID of one image.")
    tag: Tags | None = Field(None, description="A tag the image must have; repeat it to ask for several.")
    author: Username | None = Field(None, description="The username of the author.")
    visibility: AnyVisibility | None = Field(None, description="`private` finds your own images only.")
    status: Annotated[Status, Field(strict=False)] = Field(
        Status.READY, description="Any status but `ready` finds your own images only."
    )
    created_after: Time | None = Field(None, description="Only images created after this time (ISO 8601).")
    created_before: Time | None = Field(None, description="Only images created before this time (ISO 8601).")


class AddUser(Command):
    """A user to be added to the roster."""

    username: Username
    password: Password
    class_key: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_good_option)] | None = None


class ChangePassword(Command):
    """A new password for a user."""

    username: Username
    password: Password


M = TypeVar("M", bound=Command)
_MODEL_PREFIX = re.compile(r"^Value error, ")


def validate(model: type[M], data: object) -> M:
    """The data as this model, revalidated even if it already is one; raises DataValidationError if it is not good."""
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


def _field_error(detail: Any) -> FieldError:
    kind, msg = detail["type"], _MODEL_PREFIX.sub("", detail["msg"])
    if kind == "extra_forbidden":
        msg = "is not known here"
    elif kind == "string_unicode":
        msg = "must be valid Unicode text without lone surrogates"
    # The name of an unknown field is text from outside: it may hold what UTF-8 cannot carry.
    loc = tuple(p if isinstance(p, int) else p.encode(errors="backslashreplace").decode() for p in detail["loc"])
    return FieldError(loc, msg)
