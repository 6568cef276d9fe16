"""Commands are validated again by the use cases."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pixyproxy.application.accounts.account_commands import AddUser
from pixyproxy.application.commands import CreateImage, SearchImages, UpdateImage, validate
from pixyproxy.domain.errors import DataValidationError


@pytest.mark.parametrize(
    ("data", "loc", "part"),
    [
        ([], (), "object"),
        ("prompt", (), "object"),
        (None, (), "object"),
        ({}, ("prompt",), "required"),
        ({"prompt": ""}, ("prompt",), "at least 1"),
        ({"prompt": " \n\t\u3000"}, ("prompt",), "blank"),
        ({"prompt": "x" * 32_001}, ("prompt",), "32000"),
        ({"prompt": "a\x00b"}, ("prompt",), "NUL"),
        ({"prompt": "a\ud800b"}, ("prompt",), "surrogates"),
        ({"prompt": 5}, ("prompt",), "string"),
        ({"prompt": None}, ("prompt",), "string"),
        ({"prompt": ["duck"]}, ("prompt",), "string"),
        ({"prompt": "duck", "colour": "red"}, ("colour",), "not known"),
        ({"prompt": "duck", "bad\ud800": 1}, (), "surrogates"),
        ({"prompt": "duck", "tags": "duck"}, ("tags",), "list"),
        ({"prompt": "duck", "tags": [1]}, ("tags", 0), "string"),
        ({"prompt": "duck", "tags": [" "]}, ("tags",), "blank"),
        ({"prompt": "duck", "tags": [str(i) for i in range(33)]}, ("tags",), "32"),
        ({"prompt": "duck", "tags": ["x" * 65]}, ("tags",), "64"),
        ({"prompt": "duck", "tags": ["\ud800"]}, ("tags",), "surrogates"),
        ({"prompt": "duck", "visibility": "secret"}, ("visibility",), "'public' or 'private'"),
        ({"prompt": "duck", "filename": "../x"}, ("filename",), "bare name"),
        ({"prompt": "duck", "model": " "}, ("model",), "printable"),
        ({"prompt": "duck", "size": "a\nb"}, ("size",), "printable"),
        ({"prompt": "duck", "quality": 3}, ("quality",), "string"),
        ({"prompt": "duck", "output_format": "x" * 256}, ("output_format",), "255"),
    ],
)
def test_an_invalid_creation_names_the_field_and_the_rule(data: Any, loc: tuple[Any, ...], part: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        validate(CreateImage, data)
    assert [error for error in caught.value.errors if error.loc == loc and part in error.msg], caught.value.errors


@pytest.mark.parametrize(
    "prompt", ["x", "x" * 32_000, "🦆" * 32_000, " spaced \n\tout ", "a\u0301", "\u202e", "'; DROP"]
)
def test_a_prompt_is_kept_exactly(prompt: str) -> None:
    assert validate(CreateImage, {"prompt": prompt}).prompt == prompt


def test_a_command_built_without_validation_is_validated() -> None:
    with pytest.raises(DataValidationError):
        validate(CreateImage, CreateImage.model_construct(prompt=" "))


def test_null_means_left_out() -> None:
    assert validate(UpdateImage, {"tags": None, "filename": None, "visibility": None}) == UpdateImage()


@pytest.mark.parametrize(
    ("data", "loc", "part"),
    [
        ({"limit": 0}, ("limit",), "greater than or equal to 1"),
        ({"limit": 201}, ("limit",), "less than or equal to 200"),
        ({"limit": "5"}, ("limit",), "integer"),
        ({"prompt": " "}, ("prompt",), "search for"),
        ({"prompt": " ".join(map(str, range(65)))}, ("prompt",), "64"),
        ({"status": "done"}, ("status",), "'ready'"),
        ({"created_after": "yesterday"}, ("created_after",), "ISO 8601"),
        ({"created_before": "0001-01-01T00:00:00+23:00"}, ("created_before",), "years"),
        ({"created_before": 5}, ("created_before",), "datetime"),
        ({"tag": [""]}, ("tag",), "blank"),
        ({"author": "a:b"}, ("author",), "':'"),
        ({"offset": 5}, ("offset",), "not known"),
    ],
)
def test_an_invalid_search_names_the_field_and_the_rule(data: Any, loc: tuple[Any, ...], part: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        validate(SearchImages, data)
    assert [error for error in caught.value.errors if error.loc == loc and part in error.msg], caught.value.errors


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T10:00:00Z", "2026-11-21T12:00:00+02:00", "2026-11-21T10:00:00", "2026-11-21 10:00",
     "2026-11-21t10:00:00z", "20261121T100000Z", "2026-11-21T10:00:00.000000000Z", "2026-11-21T12:00:00 02:00",
     "2026-11-21T12:00:00 0200", "2026-11-21T05:00:00-05", " 2026-11-21T10:00Z "],
)  # fmt: skip
def test_times_become_utc_and_default_to_it(text: str) -> None:
    assert validate(SearchImages, {"created_after": text}).created_after == datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize("username", ["", "a:b", " a", "a\n", "x" * 65, "\ud800", "\x00"])
def test_usernames_fit_into_basic_authentication(username: str) -> None:
    with pytest.raises(DataValidationError):
        validate(AddUser, {"username": username, "password": "secret"})


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_passwords_are_bounded(password: str) -> None:
    with pytest.raises(DataValidationError):
        validate(AddUser, {"username": "alice", "password": password})
