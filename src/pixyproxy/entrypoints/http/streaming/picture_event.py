"""An event with a picture in base64, encoded piece by piece while it is sent."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from fastapi.sse import format_sse_event

from pixyproxy.entrypoints.http.representation.json_response import encode_json
from pixyproxy.entrypoints.http.streaming.base64_response import encoded


async def picture_event(
    name: str, members: Mapping[str, Any], picture: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield an event that ends in the base64 of a picture; nothing before the picture can be read."""
    async with aclosing(picture):
        first = await anext(picture, b"")
        data = f'{encode_json(members)[:-1].decode()},"b64_json":"'
        yield format_sse_event(event=name, data_str=data).removesuffix(b"\n\n") + first
        async for piece in picture:
            yield piece
        yield b'"}\n\n'


def early_view_event(name: str, members: Mapping[str, Any], data: bytes) -> AsyncGenerator[bytes, None]:
    """Yield an event that ends in the base64 of a picture in memory."""

    async def whole() -> AsyncIterator[bytes]:
        yield data

    return picture_event(name, members, encoded(whole()))
