"""Answers that hold pictures in base64: what they come to, and how much of it is there at once."""

import base64
import os
from typing import Any

import pytest
from starlette.types import Message

from pixyproxy.entrypoints.http.openai_api.base64_response import PIECE_BYTES, Base64, Base64Response


async def sent_by(response: Base64Response) -> tuple[Message, list[bytes]]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is to be received")

    scope: dict[str, Any] = {"type": "http"}
    await response(scope, receive, send)
    start, *bodies = messages
    assert [body.get("more_body", False) for body in bodies] == [True] * (len(bodies) - 1) + [False]
    return start, [body["body"] for body in bodies]


@pytest.mark.parametrize(
    "size", [0, 1, 2, 3, 30_000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2]
)
async def test_the_pictures_come_whole_between_the_rest(size: int) -> None:
    data = os.urandom(size)
    start, bodies = await sent_by(Base64Response([b'{"a":"', Base64(data), b'","b":"', Base64(data), b'"}'], {}))
    encoded = base64.b64encode(data)
    assert b"".join(bodies) == b'{"a":"' + encoded + b'","b":"' + encoded + b'"}'
    assert dict(start["headers"])[b"content-length"] == str(len(b"".join(bodies))).encode()


async def test_what_is_large_is_never_there_as_a_whole() -> None:
    _, bodies = await sent_by(Base64Response([Base64(os.urandom(10 * PIECE_BYTES))], {}))
    assert max(map(len, bodies)) <= PIECE_BYTES * 4 // 3


async def test_what_is_small_goes_out_at_once() -> None:
    start, bodies = await sent_by(Base64Response([b"[", Base64(b"abc"), b"]"], {"Cache-Control": "no-store"}))
    assert bodies == [b"[YWJj]"]
    assert (start["status"], dict(start["headers"])[b"cache-control"]) == (200, b"no-store")
