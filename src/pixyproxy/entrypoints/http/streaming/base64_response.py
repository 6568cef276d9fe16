"""A response with pictures in base64, read and encoded piece by piece while it is sent."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import pybase64
from starlette.responses import StreamingResponse

PIECE_BYTES = 3 * 64 * 1024
"""Bytes that are encoded at once: a multiple of 3, so that the encoded pieces can be joined."""


@dataclass(frozen=True, slots=True)
class Base64:
    """Bytes that are sent in base64 (RFC 4648, section 4): how many there are, and the function that reads them."""

    size: int
    read: Callable[[], AsyncIterator[bytes]]

    def __len__(self) -> int:
        return (self.size + 2) // 3 * 4

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the text piece by piece."""
        return encoded(self.read())


async def encoded(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the base64 of bytes that come in pieces of any length."""
    rest, text = b"", b""
    async for piece in pieces:
        data = memoryview(rest + piece if rest else piece)
        whole = len(data) - len(data) % 3
        for start in range(0, whole, PIECE_BYTES):
            if text:
                yield text
            text = pybase64.b64encode(data[start : min(start + PIECE_BYTES, whole)])
        rest = bytes(data[whole:])
    yield text + pybase64.b64encode(rest)


async def base64_response(parts: Sequence[bytes | Base64], headers: Mapping[str, str]) -> StreamingResponse:
    """Return a response of plain and of base64-encoded parts; raise the error of reading the first of these.

    No picture is in memory as a whole for as long as the client takes to receive it.
    """
    pieces = _pieces(parts)
    first = await anext(pieces, b"")

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    length = str(sum(map(len, parts)))
    return StreamingResponse(body(), headers={**headers, "Content-Length": length})


async def _pieces(parts: Sequence[bytes | Base64]) -> AsyncIterator[bytes]:
    """Yield the parts; plain ones go with the piece that follows."""
    plain = b""
    for part in parts:
        if isinstance(part, bytes):
            plain += part
        else:
            async for piece in part.pieces():
                yield plain + piece
                plain = b""
    yield plain
