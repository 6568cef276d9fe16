"""Responses that hold pictures in base64."""

import asyncio
import base64
import os
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message

from pixyproxy.entrypoints.http.openai_api.base64_response import PIECE_BYTES, Base64, base64_response


async def send(response: Response) -> tuple[Message, list[bytes]]:
    """Return the first message of a response, and the pieces of its body."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    scope: dict[str, Any] = {"type": "http"}
    await response(scope, receive, keep)
    start, *bodies = messages
    assert [body.get("more_body", False) for body in bodies] == [True] * (len(bodies) - 1) + [False]
    return start, [body["body"] for body in bodies]


@pytest.mark.parametrize(
    "size", [0, 1, 2, 3, 30_000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2]
)
async def test_pictures_are_encoded_between_the_other_parts(size: int) -> None:
    data = os.urandom(size)
    parts = [b'{"a":"', Base64(data), b'","b":"', Base64(data), b'"}']
    start, bodies = await send(base64_response(parts, {"Cache-Control": "no-store"}))
    encoded = base64.b64encode(data)
    assert b"".join(bodies) == b'{"a":"' + encoded + b'","b":"' + encoded + b'"}'
    headers = dict(start["headers"])
    assert (start["status"], headers[b"cache-control"]) == (200, b"no-store")
    assert headers[b"content-length"] == str(len(b"".join(bodies))).encode()


async def test_a_large_picture_is_never_encoded_as_a_whole() -> None:
    _, bodies = await send(base64_response([Base64(os.urandom(10 * PIECE_BYTES))], {}))
    assert max(map(len, bodies)) <= PIECE_BYTES * 4 // 3
