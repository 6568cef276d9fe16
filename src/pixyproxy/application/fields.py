"""The types of the values that the use cases accept, each with its rules and their messages."""

import base64
import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.filename import filename_problem
from pixyproxy.domain.image import Visibility, parse_guid
from pixyproxy.domain.search_terms import query_terms
from pixyproxy.domain.tags import MAX_TAG_LENGTH, MAX_TAGS, normalise_tags, tag_problem
from pixyproxy.domain.user import Role, compose

MAX_PROMPT_LENGTH = 32_000
MAX_IMAGES = 16
"""The most edit sources of an image (https://platform.openai.com/docs/api-reference/images/createEdit)."""
MAX_QUERY_TERMS = 64
"""The most words in one search; the database joins a posting list for each."""
_DURATION = re.compile(r"([0-9]{1,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_LOST_PLUS = re.compile(r"(\d{4}-?\d\d-?\d\d[T ]\S+) (\d\d(?::?\d\d)?)")
"""A time whose offset lost its plus, which a query string that is not percent-encoded turns into a space."""

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def _check_prompt(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("must not be blank: describe the picture")
    if "\x00" in prompt:
        raise ValueError("must not contain NUL characters (U+0000)")
    return prompt


def _check_tags(tags: list[str]) -> list[str]:
    if any(len(tag) > MAX_TAG_LENGTH for tag in tags):
        raise ValueError(f"each tag must be at most {MAX_TAG_LENGTH} characters long")
    normalised = normalise_tags(tags)
    for tag in normalised:
        if problem := tag_problem(tag):
            raise ValueError(f"each tag {problem}")
    return list(normalised)


def _check_filename(filename: str) -> str:
    if problem := filename_problem(filename):
        raise ValueError(problem)
    return filename


def _is_one_line(text: str) -> bool:
    """Return whether a text has no control characters or line breaks; characters unknown to this Python pass."""
    return not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text)


def _check_option(option: str) -> str:
    if not _is_one_line(option) or not option.strip():
        raise ValueError("must be printable and not blank")
    return option


def _integral(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _as_list(guids: object) -> object:
    return [guids] if isinstance(guids, str) else guids


def _check_guids(guids: list[str]) -> list[str]:
    try:
        return [parse_guid(guid) for guid in guids]
    except ImageNotFoundError:
        raise ValueError("must be a GUID such as 0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55") from None


def _check_guid(guid: str) -> str:
    return _check_guids([guid])[0]


def _check_username(username: str) -> str:
    hidden = any(unicodedata.category(c) == "Cf" for c in username)
    if username != username.strip() or not _is_one_line(username) or hidden or ":" in username:
        raise ValueError("must be printable, without ':' and without white space at either end")
    return compose(username)


def _check_new_username(username: str) -> str:
    if username in {"me", "import"}:
        raise ValueError("must not be 'me' or 'import', which mean something else in addresses of the API")
    return username


def _check_query(prompt: str) -> str:
    terms = query_terms(prompt)
    if not terms:
        raise ValueError("must contain something to search for")
    if len(terms) > MAX_QUERY_TERMS:
        raise ValueError(f"must be at most {MAX_QUERY_TERMS} different words")
    return prompt


def _check_name_cursor(cursor: str) -> str:
    try:
        name = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError:
        name = ""
    if not name or encode_name(name) != cursor:
        raise ValueError("must be a cursor from the Link header of an earlier answer, unchanged")
    return name


def encode_name(name: str) -> str:
    """Return the cursor that continues a list after a name."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def _parse_end(value: object) -> object:
    if isinstance(value, str) and (duration := _DURATION.fullmatch(value.strip())):
        return int(duration[1]) * _UNITS[duration[2]]
    try:
        return _parse_time(value)
    except ValueError:
        message = "must be a duration such as 12h, 30d or 8w, or a time in ISO 8601 such as 2027-01-31T18:00"
        raise ValueError(message) from None


def _parse_time(value: object) -> object:
    """Accept ISO 8601 text beside datetimes; a time without a zone is UTC."""
    if isinstance(value, str):
        try:
            text = value.strip().upper()  # RFC 3339 allows small letters
            lost_plus = _LOST_PLUS.fullmatch(text)
            value = datetime.fromisoformat("+".join(lost_plus.groups()) if lost_plus else text)
        except ValueError:
            raise ValueError("must be a time in ISO 8601, such as 2026-11-21T10:00:00Z") from None
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be a time in the years 1 to 9999") from None
    return value


def _parse_day(value: object) -> object:
    """Accept ISO 8601 text beside dates."""
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value) if _DAY.fullmatch(value) else None
        except ValueError:
            day = None
        if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise ValueError(f"must be a day such as 2026-11-21, in the years {_FIRST_YEAR} to {_LAST_YEAR}")
        return day
    return value


# The rules above as far as JSON Schema can express them, for readers of the schema and for tools that make requests
# from it. The validators decide.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_HIDDEN = rf"{_CONTROL}\xad\u0600-\u0605\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_INNER = rf"[^\s{_CONTROL}]"
_ONE_LINE = rf"^[^{_CONTROL}]*{_INNER}[^{_CONTROL}]*$"
_TRIMMED = rf"^\s*{_INNER}([^{_CONTROL}]*{_INNER})?\s*$"
_BARE_NAME = rf"^(?!\.\.?$)[^\s/\\{_HIDDEN}]([^/\\{_HIDDEN}]*[^\s/\\{_HIDDEN}])?$"
_NO_COLON = rf"^[^\s:{_HIDDEN}]([^:{_HIDDEN}]*[^\s:{_HIDDEN}])?$"


def schema(**members: Any) -> Any:
    """Return a field whose JSON schema has these members, for documentation only."""
    return Field(json_schema_extra=members)


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_LENGTH),
    schema(pattern=r"[^\s\u001c-\u001f\u0085]"),  # the characters that `str.strip` keeps
    AfterValidator(_check_prompt),
]
Tag = Annotated[str, schema(minLength=1, maxLength=MAX_TAG_LENGTH, pattern=_TRIMMED)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_check_tags)]
Filename = Annotated[
    str, Field(min_length=1, max_length=255), schema(pattern=_BARE_NAME), AfterValidator(_check_filename)
]
Option = Annotated[str, Field(min_length=1, max_length=255), schema(pattern=_ONE_LINE), AfterValidator(_check_option)]
Username = Annotated[
    str, Field(min_length=1, max_length=64), schema(pattern=_NO_COLON), AfterValidator(_check_username)
]
NewUsername = Annotated[Username, AfterValidator(_check_new_username)]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
SearchWords = Annotated[str, Field(min_length=1, max_length=1000), schema(pattern=_INNER), AfterValidator(_check_query)]
Cursor = Annotated[str, schema(pattern="^[A-Za-z0-9_-]{32}$")]
ClassKey = Annotated[
    str,
    Field(min_length=1, max_length=64),
    schema(pattern=_ONE_LINE),
    AfterValidator(_check_option),
    AfterValidator(compose),
]
NameCursor = Annotated[str, AfterValidator(_check_name_cursor)]
KeyName = Annotated[str, Field(min_length=1, max_length=64), schema(pattern=_ONE_LINE), AfterValidator(_check_option)]
Guid = Annotated[str, schema(format="uuid"), AfterValidator(_check_guid)]
Guids = Annotated[
    list[Annotated[str, schema(format="uuid")]],
    Field(min_length=1, max_length=MAX_IMAGES),
    BeforeValidator(_as_list),
    AfterValidator(_check_guids),
]
PixelSizes = Annotated[
    list[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]],
    Field(min_length=1, max_length=MAX_IMAGES + 1),
]
"""The widths and heights of edit sources and a mask."""
AnyVisibility = Annotated[Visibility, Field(strict=False)]
AnyRole = Annotated[Role, Field(strict=False)]
Time = Annotated[datetime, BeforeValidator(_parse_time)]
Day = Annotated[date, BeforeValidator(_parse_day)]
KeyEnd = Annotated[
    datetime | timedelta, BeforeValidator(_parse_end), WithJsonSchema({"type": "string", "minLength": 2})
]
"""The end of a key: a time, or a duration from now."""

PictureCount = Annotated[int, Field(ge=1, le=10), BeforeValidator(_integral)]
"""The number of pictures of one call; `10.0` is an integer too in JSON Schema."""

EarlyViews = Annotated[int, Field(ge=0, le=3), BeforeValidator(_integral)]
"""The number of early views of a picture."""
