"""Request bodies in gzip and deflate."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from pixyproxy.entrypoints.http.middleware import content_coding
from tests.fixtures.core import PNG
from tests.fixtures.http_app import HttpApp, http_app

BODY = json.dumps({"prompt": "a duck", "tags": ["duck"] * 30}).encode()
FORM = b"".join(
    b"--X\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % part
    for part in ((b'name="prompt"', b"a duck"), (b'name="image"; filename="a.png"', PNG))
) + (b"--X--\r\n")


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def in_pieces(body: bytes, size: int) -> list[Mapping[str, Any]]:
    pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False
    return messages


async def post(
    app: HttpApp,
    coding: str | list[str],
    body: bytes,
    *,
    size: int = 7,
    path: str = "/image",
    media_type: str = "application/json",
) -> tuple[int, dict[str, Any], dict[bytes, bytes]]:
    fields = [(b"content-encoding", name.encode()) for name in ([coding] if isinstance(coding, str) else coding)]
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode()), *fields]
    response = await app.raw("POST", path, headers=headers, messages=in_pieces(body, size))
    assert response.status is not None
    return response.status, json.loads(response.body), dict(response.headers)


async def test_packed_bodies_are_read(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_coding, "_PIECE_BYTES", 10)
    for coding, body in (
        ("gzip", gzip.compress(BODY)),
        ("GZip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:50]) + gzip.compress(b"") + gzip.compress(BODY[50:]) + bytes(9)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare_deflate(BODY)),
        ("identity", BODY),
        ("", BODY),
        ([" identity", "gzip"], gzip.compress(BODY)),
    ):
        for size in (1, 7, 10_000):
            status, answer, _ = await post(app, coding, body, size=size)
            assert (status, answer["prompt"], answer["tags"]) == (200, "a duck", ["duck"]), (coding, size)


async def test_a_packed_form_is_read(app: HttpApp) -> None:
    media_type = "multipart/form-data; boundary=X"
    status, *_ = await post(app, "gzip", gzip.compress(FORM), path="/v1/images/edits", media_type=media_type)
    assert (status, app.generator.requests[0].prompt) == (200, "a duck")


async def test_a_body_that_is_not_in_its_coding_is_refused(app: HttpApp) -> None:
    whole = gzip.compress(BODY)
    for coding, body, words in (
        ("gzip", BODY, "is not in this coding"),
        ("deflate", BODY, "is not in this coding"),
        ("gzip", whole[:-20] + bytes(20), "is not in this coding"),
        ("gzip", whole[:-1], "ends too early"),
        ("gzip", whole[:1], "ends too early"),
        ("gzip", whole + whole[:9], "ends too early"),
        ("gzip", whole + b"rubbish", "is not in this coding"),
        ("deflate", zlib.compress(BODY) + b"rubbish", "goes on after its end"),
        ("gzip", b"", "The body is empty"),
    ):
        for size in (1, 10_000):
            status, answer, _ = await post(app, coding, body, size=size)
            assert (status, words in answer["detail"]) == (400, True), (coding, words, answer)
    assert app.generator.requests == []


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "nonsense"])
async def test_another_coding_is_refused_with_those_that_are_accepted(app: HttpApp, coding: str) -> None:
    status, answer, headers = await post(app, coding, BODY)
    assert (status, headers[b"accept-encoding"]) == (415, b"gzip, deflate")
    assert f"The Content-Encoding '{coding}' is not accepted" in answer["detail"]
    status, answer, headers = await post(app, coding, BODY, path="/v1/images/generations")
    assert (status, headers[b"accept-encoding"], answer["error"]["type"]) == (
        415,
        b"gzip, deflate",
        "invalid_request_error",
    )
    # Where no body is read the coding of none matters.
    response = await app.raw("GET", "/image", headers=[(b"content-encoding", coding.encode())])
    assert response.status == 200


async def test_a_small_body_does_not_become_a_large_one(app: HttpApp) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 60_000
    status, answer, _ = await post(app, "gzip", bomb, size=100_000)
    assert (status, answer["code"]) == (413, "body-too-large")


async def test_a_client_that_hangs_up_during_a_packed_body_is_noticed(app: HttpApp) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    messages = [{"type": "http.request", "body": gzip.compress(BODY)[:20], "more_body": True}]
    response = await app.raw("POST", "/image", headers=headers, messages=messages)
    assert response.status is None
    assert app.generator.requests == []
