"""Responses that hold pictures in base64."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message

from pixyproxy.domain.errors import BlobMissingError
from pixyproxy.entrypoints.http.streaming.base64_response import PIECE_BYTES, Base64, base64_response


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


def read_in(data: bytes, step: int) -> Base64:
    """Return bytes that are read in pieces of this length."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), step):
            yield data[start : start + step]

    return Base64(len(data), pieces)


@pytest.mark.parametrize("step", [1000, PIECE_BYTES + 2, 10 * PIECE_BYTES])
@pytest.mark.parametrize(
    "size", [0, 1, 2, 3, 30_000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2]
)
async def test_pictures_are_encoded_between_the_other_parts(size: int, step: int) -> None:
    data = os.urandom(size)
    parts = [b'{"a":"', read_in(data, step), b'","b":"', read_in(data, step), b'"}']
    start, bodies = await send(await base64_response(parts, {"Cache-Control": "no-store"}))
    encoded = base64.b64encode(data)
    assert b"".join(bodies) == b'{"a":"' + encoded + b'","b":"' + encoded + b'"}'
    headers = dict(start["headers"])
    assert (start["status"], headers[b"cache-control"]) == (200, b"no-store")
    assert headers[b"content-length"] == str(len(b"".join(bodies))).encode()


async def test_a_large_picture_is_never_encoded_as_a_whole() -> None:
    data = os.urandom(10 * PIECE_BYTES)
    for step in (len(data), PIECE_BYTES - 1):
        _, bodies = await send(await base64_response([read_in(data, step)], {}))
        assert max(map(len, bodies)) <= PIECE_BYTES * 4 // 3


async def test_pieces_are_read_when_they_are_sent() -> None:
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(9):
            read += 1
            yield bytes(PIECE_BYTES)

    response = await base64_response([Base64(9 * PIECE_BYTES, pieces)], {})
    sent = aiter(response.body_iterator)
    for number in range(1, 9):
        await anext(sent)
        assert read <= number + 1


async def test_the_error_of_the_first_piece_comes_before_the_response() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        raise BlobMissingError("gone")
        yield b""

    with pytest.raises(BlobMissingError):
        await base64_response([b"{", Base64(5, pieces)], {})
