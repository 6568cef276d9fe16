"""How the words and headers of a refusal are read."""

import time
from email.utils import formatdate

import httpx2
import pytest

from pixyproxy.adapters.openai.errors import MAX_WORDS, harmless, read_words, retry_after

KEY = "my-local-key-without-a-known-form"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "what", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(httpx2.Headers(headers)) == expected


@pytest.mark.parametrize("date", [None, "nonsense"])
def test_retry_after_a_date_by_our_own_clock(date: str | None) -> None:
    headers = httpx2.Headers({"retry-after": formatdate(time.time() + 1000, usegmt=True)})
    if date:
        headers["date"] = date
    seconds = retry_after(headers)
    assert seconds is not None
    assert 900 < seconds <= 1000


@pytest.mark.parametrize(
    ("body", "message", "codes"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "c"}}', "m", {"t", "c"}),
        (b'{"error": {"message": "m", "type": null, "code": 404}}', "m", set()),
        (b'{"message": "m", "code": "c"}', "m", {"c"}),
        (b'{"detail": "m"}', "m", set()),
        (b'{"error": "m"}', "m", set()),
        (b'"m"', "m", set()),
        (b'{"error": null}', "", set()),
        (b'{"error": {"message": {"deep": 1}}}', "", set()),
        (b"[]", "", set()),
        (b"17", "", set()),
        (b"<html>", "", set()),
        (b"", "", set()),
        (b"\xff\xfe\xfa", "", set()),
        (b"[" * 60_000, "", set()),
    ],
)
def test_words(body: bytes, message: str, codes: set[str]) -> None:
    assert read_words(body, KEY) == (message, codes)


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is wrong",
        "Incorrect API key provided: sk-proj-abc***********wxyz. Sorry.",
        "Incorrect API key provided: my-lo******form. Sorry.",
        "header Authorization: Bearer abcdef",
        "header authorization: bearer abcdef",
        "limit for org-AbC123 reached",
    ],
)
def test_no_secret_passes(text: str) -> None:
    words = harmless(text, KEY)
    assert "[…]" in words
    for secret in (KEY, "abc", "AbC", "wxyz", "my-lo", "form", "bearer abcdef"):
        assert secret not in words


def test_text_from_outside_stays_on_one_short_line() -> None:
    words = harmless("a\r\nREQUEST END\x1b[31m\x00 \u202e\u2028 b " + "x" * 100_000, "")
    assert words.startswith("a REQUEST END [31m b xxx")
    assert words.isprintable()
    assert len(words) == MAX_WORDS


def test_common_words_are_left_alone() -> None:
    text = "Invalid size '1x1'. Use a risk-free, org-wide *bold* value: ask sk."
    assert harmless(text, KEY) == text.replace("org-wide", "[…]")
