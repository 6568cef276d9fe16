"""Pictures in a whole body, refusals with a status of success, and tasks."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pixyproxy.adapters.openai.error_translation import DocumentRefusal
from pixyproxy.adapters.openai.reading.document import read_document, read_pictures, reported_cost
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse
from pixyproxy.domain.errors import GeneratorResponseError

ONE = base64.b64encode(b"picture one")
DOCUMENT = b'{"data":[{"b64_json":"%s"}]}' % ONE


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def response(status: int = 200, **headers: str) -> UpstreamResponse:
    async def nothing() -> AsyncIterator[bytes]:
        for piece in tuple[bytes, ...]():
            yield piece

    async def close() -> None:
        pass

    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamResponse(status, fields, nothing(), lambda: b"", close)


def data_of(body: bytes, status: int = 200, **headers: str) -> list[bytes]:
    return [picture.data for picture in read_document(body, response(status, **headers))]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (DOCUMENT, {}),
        (b"data: " + DOCUMENT, {}),
        (b"event: x\ndata: " + DOCUMENT + b"\n\n", {"content_type": "application/json"}),
        (gzipped(DOCUMENT), {"content_encoding": "gzip"}),
        (gzipped(DOCUMENT), {}),
        (gzipped(b"data: " + DOCUMENT + b"\n\n"), {"content_encoding": "x-gzip"}),
        (b"HTTP/1.1 200 OK\r\nX\r\n\r\n" + DOCUMENT, {}),
        (b"HTTP/1.1 200 OK\nX\n\ndata: " + DOCUMENT + b"\n\n", {}),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped(DOCUMENT), {}),
        (b"HTTP/1.1 200 OK\r\n\r\n" + DOCUMENT, {"content_length": "0"}),
    ],
)
def test_a_document_is_read(body: bytes, headers: dict[str, str]) -> None:
    assert data_of(body, **headers) == [b"picture one"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [(PNG, {"content_type": "image/png"}), (PNG, {"content_type": "application/json"}), (PNG, {}),
     (b"HTTP/1.1 200 OK\r\nX\r\n\r\n" + PNG, {})],
)  # fmt: skip
def test_the_bytes_of_a_picture_are_the_picture(body: bytes, headers: dict[str, str]) -> None:
    assert data_of(body, **headers) == [PNG]


def test_unknown_bytes_are_a_picture_unless_their_label_says_otherwise() -> None:
    assert data_of(b"\x01unknown", content_type="image/new") == [b"\x01unknown"]
    for label in ("text/html; charset=utf-8", "application/json", "application/problem+json"):
        with pytest.raises(GeneratorResponseError, match="not JSON"):
            read_document(b"\x01unknown", response(content_type=label))


@pytest.mark.parametrize(
    "entries", [[{"b64_json": "!"}, {"b64_json": "?"}], [{}, None], [], [{"b64_json": None}]], ids=str
)
def test_undecodable_entries_only_are_an_error(entries: list[object]) -> None:
    with pytest.raises(GeneratorResponseError):
        read_pictures(json.dumps({"data": entries}).encode())


@pytest.mark.parametrize(
    ("document", "status", "task"),
    [
        ({"id": "a"}, 202, "'a'"),
        ({}, 202, "unnamed"),
        ({"task_id": "a"}, 200, "'a'"),
        ({"data": {"taskId": "a"}}, 200, "'a'"),
        ({"output": {"task_id": 7, "task_status": "PENDING"}}, 200, "7"),
        ({"id": "a", "status": "queued"}, 200, "'a'"),
        ({"id": "a", "status": "processing", "urls": {"get": "http://x/a"}}, 200, "'a'"),
        ({"id": "a", "state": "in_progress", "data": []}, 200, "'a'"),
    ],
    ids=str,
)
def test_a_task_is_named(document: dict[str, Any], status: int, task: str) -> None:
    with pytest.raises(GeneratorResponseError, match=f"asynchronously.*: its task is {task}"):
        read_document(json.dumps(document).encode(), response(status))


@pytest.mark.parametrize(
    "document",
    [
        {"id": "a", "status": "completed", "output": ["http://x/1.png"]},
        {"task_id": "a", "data": [{"url": "http://x/1.png"}]},
        {"id": "a", "created": 1, "images": ["http://x/1.png"]},
    ],
    ids=str,
)
def test_a_task_that_is_done_is_read(document: dict[str, Any]) -> None:
    [picture] = read_pictures(json.dumps(document).encode())
    assert picture.url == "http://x/1.png"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"error": {"message": "m", "code": "moderation_blocked"}}, 400),
        ({"error": {"message": "m", "code": "insufficient_quota"}}, 429),
        ({"error": {"message": "m", "code": 422}}, 422),
        ({"error": {"message": "m", "status": "503"}}, 503),
        ({"error": "m"}, 500),
        ({"errors": [{"message": "m"}]}, 500),
        ({"data": [{"error": {"message": "m", "code": "moderation_blocked"}}]}, 400),
    ],
    ids=str,
)
def test_an_error_instead_of_a_picture_is_a_refusal(document: dict[str, Any], status: int) -> None:
    for body in (json.dumps(document).encode(), b"data: " + json.dumps(document).encode() + b"\n\n"):
        if body.startswith(b"data") and "error" not in document:
            continue  # an event names its error at the top
        with pytest.raises(DocumentRefusal) as caught:
            read_pictures(body)
        assert caught.value.status == status
        assert "m" in caught.value.body.decode()


def test_events_without_a_picture_are_an_error() -> None:
    with pytest.raises(GeneratorResponseError, match="no picture"):
        read_pictures(b": comment\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("text", ["0.0421", "4.21e-2", " 0.0421 "])
def test_the_header_may_report_a_cost(text: str) -> None:
    assert reported_cost({"x-litellm-response-cost": text}) == 0.0421
    (picture,) = read_document(DOCUMENT, response(x_litellm_response_cost=text))
    assert picture.usage == {"cost": 0.0421}


@pytest.mark.parametrize("text", ["", "None", "-1", "nan", "inf", "1e999", "much", "1,5"])
def test_a_cost_that_cannot_be_meant_is_none(text: str) -> None:
    assert reported_cost({"x-litellm-response-cost": text}) is None


def test_a_cost_in_the_body_goes_before_that_of_the_header() -> None:
    body = b'{"data":[{"b64_json":"%s"}],"usage":{"cost":0.5}}' % ONE
    (picture,) = read_document(body, response(x_litellm_response_cost="0.25"))
    assert picture.usage == {"cost": 0.5}
