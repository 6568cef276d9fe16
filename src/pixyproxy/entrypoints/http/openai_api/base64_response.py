"""A response with pictures in base64, encoded piece by piece while it is sent."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pybase64
from starlette.responses import StreamingResponse

PIECE_BYTES = 3 * 64 * 1024
"""Bytes that are encoded at once: a multiple of 3, so that the encoded pieces can be joined."""


@dataclass(frozen=True, slots=True)
class Base64:
    """Bytes that are sent in base64 (RFC 4648, section 4)."""

    data: bytes

    def __len__(self) -> int:
        return (len(self.data) + 2) // 3 * 4

    def pieces(self) -> Iterator[bytes]:
        """Yield the encoded bytes piece by piece."""
        view = memoryview(self.data)
        for start in range(0, len(view), PIECE_BYTES):
            yield pybase64.b64encode(view[start : start + PIECE_BYTES])


def base64_response(parts: Sequence[bytes | Base64], headers: Mapping[str, str]) -> StreamingResponse:
    """Return a response of plain and of base64-encoded parts.

    A large picture is never in memory encoded as a whole, which would take more than the picture itself for as long as
    the client takes to receive it.
    """
    length = str(sum(map(len, parts)))
    return StreamingResponse(_encode(parts), headers={**headers, "Content-Length": length})


async def _encode(parts: Sequence[bytes | Base64]) -> AsyncIterator[bytes]:
    for part in parts:
        for piece in part.pieces() if isinstance(part, Base64) else (part,):
            yield piece
