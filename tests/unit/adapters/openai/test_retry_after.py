"""Times after which an upstream takes requests again."""

import json
import time
from email.utils import formatdate

import pytest
from httpx2 import Headers

from pixyproxy.adapters.openai.retry_after import retry_after


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
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed Oct 21 07:28:30 2026", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "2026-10-21T07:28:30Z", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "1792567710", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "1792567710.5", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.5),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "7s"}, 7.0),
        ({"retry-after": "34.5s"}, 34.5),
        ({"retry-after": "500ms"}, 0.5),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "2 minutes"}, 120.0),
        ({"retry-after": "12 seconds"}, 12.0),
        ({"retry-after": "7 bananas"}, None),
        ({"retry-after": "7, 9"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(Headers(headers)) == expected


@pytest.mark.parametrize("date", [None, "nonsense"])
def test_retry_after_a_date_without_a_server_clock(date: str | None) -> None:
    headers = Headers({"retry-after": formatdate(time.time() + 1000, usegmt=True)})
    if date:
        headers["date"] = date
    seconds = retry_after(headers)
    assert seconds is not None
    assert 900 < seconds <= 1000


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"error": {"message": "slow", "retry_after": 12}}, 12.0),
        ({"error": {"message": "slow", "retry_after": "12.5"}}, 12.5),
        ({"error": {"retry_after_ms": 1500}}, 1.5),
        ({"retry_after_seconds": 3}, 3.0),
        ({"error": {"details": [{"@type": "x"}, {"retryDelay": "34s"}]}}, 34.0),
        ([{"error": {"details": [{"retryDelay": "34.07s"}]}}], 34.07),
        ({"error": {"retry_after": None}}, None),
        ({"error": {"retry_after": True}}, None),
        ({"error": {"retry_after": "soon"}}, None),
        ({"error": {"message": "slow"}}, None),
        ({"a": {"b": {"c": {"d": {"e": {"retry_after": 12}}}}}}, None),
    ],
    ids=str,
)
def test_an_error_document_may_hold_the_time(document: object, expected: float | None) -> None:
    assert retry_after(Headers({}), json.dumps(document).encode()) == expected
    assert retry_after(Headers({"retry-after": "1"}), json.dumps(document).encode()) == 1.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"slow", b"17", b"null"])
def test_other_bodies_hold_no_time(body: bytes) -> None:
    assert retry_after(Headers({}), body) is None
