"""The kinds of values that the use cases accept, each with its rules and its words for what breaks them."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from pixyproxy.domain.errors import DataValidationError, ImageNotFoundError
from pixyproxy.domain.filename import filename_problem
from pixyproxy.domain.image import Visibility, parse_guid
from pixyproxy.domain.query import decode_cursor
from pixyproxy.domain.search_terms import query_terms
from pixyproxy.domain.tags import MAX_TAG_LENGTH, MAX_TAGS, normalise_tags, tag_problem

MAX_PROMPT_LENGTH = 32_000
MAX_IMAGES = 16
"""How many images one can be made from (https://platform.openai.com/docs/api-reference/images/createEdit)."""
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


def _is_one_line(text: str) -> bool:
    """Whether nothing in the text breaks or steers a line; characters newer than this Python are taken as good."""
    return not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text)


def _good_option(option: str) -> str:
    if not _is_one_line(option) or not option.strip():
        raise ValueError("must be printable and not blank")
    return option


def _integral(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _listed(guids: object) -> object:
    return [guids] if isinstance(guids, str) else guids


def _good_guids(guids: list[str]) -> list[str]:
    try:
        return [parse_guid(guid) for guid in guids]
    except ImageNotFoundError:
        raise ValueError("must be a GUID such as 0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55") from None


def _good_guid(guid: str) -> str:
    return _good_guids([guid])[0]


def _good_username(username: str) -> str:
    hidden = any(unicodedata.category(c) == "Cf" for c in username)
    if username != username.strip() or not _is_one_line(username) or hidden or ":" in username:
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
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_HIDDEN = rf"{_CONTROL}\xad\u0600-\u0605\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_INNER = rf"[^\s{_CONTROL}]"
_ONE_LINE = rf"^[^{_CONTROL}]*{_INNER}[^{_CONTROL}]*$"
_TRIMMED = rf"^\s*{_INNER}([^{_CONTROL}]*{_INNER})?\s*$"
_BARE_NAME = rf"^(?!\.\.?$)[^\s/\\{_HIDDEN}]([^/\\{_HIDDEN}]*[^\s/\\{_HIDDEN}])?$"
_NO_COLON = rf"^[^\s:{_HIDDEN}]([^:{_HIDDEN}]*[^\s:{_HIDDEN}])?$"


def schema(**members: Any) -> Any:
    """Members of the JSON schema that are documentation only."""
    return Field(json_schema_extra=members)


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_LENGTH),
    schema(pattern=r"\S"),
    AfterValidator(_good_prompt),
]
Tag = Annotated[str, schema(minLength=1, maxLength=MAX_TAG_LENGTH, pattern=_TRIMMED)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_good_tags)]
Filename = Annotated[
    str, Field(min_length=1, max_length=255), schema(pattern=_BARE_NAME), AfterValidator(_good_filename)
]
Option = Annotated[str, Field(min_length=1, max_length=255), schema(pattern=_ONE_LINE), AfterValidator(_good_option)]
Username = Annotated[str, Field(min_length=1, max_length=64), schema(pattern=_NO_COLON), AfterValidator(_good_username)]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
SearchWords = Annotated[str, Field(min_length=1, max_length=1000), schema(pattern=_INNER), AfterValidator(_searchable)]
Cursor = Annotated[str, schema(pattern="^[A-Za-z0-9_-]{16}$"), AfterValidator(_good_cursor)]
ClassKey = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_good_option)]
KeyName = Annotated[Option, Field(max_length=64)]
Guid = Annotated[str, schema(format="uuid"), AfterValidator(_good_guid)]
Guids = Annotated[
    list[Annotated[str, schema(format="uuid")]],
    Field(min_length=1, max_length=MAX_IMAGES),
    BeforeValidator(_listed),
    AfterValidator(_good_guids),
]
AnyVisibility = Annotated[Visibility, Field(strict=False)]
Time = Annotated[datetime, BeforeValidator(_parse_time)]

PictureCount = Annotated[int, Field(ge=1, le=10), BeforeValidator(_integral)]
"""The number of pictures of one call; `10.0` is an integer too in JSON Schema."""
