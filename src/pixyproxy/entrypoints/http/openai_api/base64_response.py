"""A response with pictures in base64, encoded piece by piece while it is sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pybase64
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE_BYTES = 3 * 64 * 1024
"""Bytes that are encoded at once: a multiple of 3, so that the encoded pieces can be joined."""
_SHORT_BYTES = 128 * 1024
"""The largest response that is sent in one piece."""


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


class Base64Response(Response):
    """A body of plain and of base64-encoded parts.

    A large picture is never in memory encoded as a whole, which would take more than the picture itself for as long as
    the client takes to receive it.
    """

    def __init__(self, parts: Sequence[bytes | Base64], headers: Mapping[str, str]) -> None:
        self._parts = parts
        self._length = sum(map(len, parts))
        super().__init__(None, 200, {**headers, "Content-Length": str(self._length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body, no faster than the client takes it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._length <= _SHORT_BYTES:
            await send({"type": "http.response.body", "body": b"".join(self._pieces())})
            return
        for piece in self._pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _pieces(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, Base64):
                yield from part.pieces()
            else:
                yield part
