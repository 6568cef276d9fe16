"""An answer with pictures in base64, which are encoded piece by piece while it is sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pybase64
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE = 3 * 64 * 1024
"""Bytes that are encoded at once: a multiple of 3, so that what they come to can be joined."""
_SHORT = 128 * 1024
"""Up to this length an answer is sent at once."""


@dataclass(frozen=True, slots=True)
class Base64:
    """Bytes that are sent in base64 (RFC 4648, section 4)."""

    data: bytes

    def __len__(self) -> int:
        return (len(self.data) + 2) // 3 * 4

    def pieces(self) -> Iterator[bytes]:
        """What they come to, piece by piece."""
        view = memoryview(self.data)
        for start in range(0, len(view), PIECE):
            yield pybase64.b64encode(view[start : start + PIECE])


class Base64Response(Response):
    """Sends some bytes, and others in base64.

    A large picture is never there encoded as a whole, which would take more memory than the picture itself for as
    long as the client takes; and a piece is encoded faster than it could be handed to a thread.
    """

    def __init__(self, parts: Sequence[bytes | Base64], headers: Mapping[str, str]) -> None:
        self._parts = parts
        self._length = sum(map(len, parts))
        super().__init__(None, 200, {**headers, "Content-Length": str(self._length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, no faster than the client takes it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._length <= _SHORT:
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
