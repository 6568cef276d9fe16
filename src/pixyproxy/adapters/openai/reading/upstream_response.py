"""A successful response of the upstream, whose body is still to be read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from pixyproxy.domain.errors import GeneratorResponseError

KEPT_BYTES = 1024 * 1024
"""Bytes kept of a body that is too large."""


@dataclass(slots=True, eq=False)
class UpstreamResponse:
    """A successful response.

    `pieces` yields the body as it comes, still packed. `unparsed` returns the bytes that arrived and that the HTTP
    client could not make part of the body. `close` gives the connection up and makes a pending read fail.
    """

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]
    unparsed: Callable[[], bytes]
    close: Callable[[], Awaitable[None]]

    @property
    def declared_bytes(self) -> int | None:
        """Length of the body according to Content-Length, or None if it is missing."""
        declared = self.headers.get("content-length", "")
        return int(declared) if declared.isdecimal() and len(declared) < 20 else None


async def read_body(response: UpstreamResponse, limit: int) -> bytes:
    """Return the whole body, as it came.

    Raises GeneratorResponseError, with the beginning of the body, as soon as it is longer than `limit`.
    """
    body = bytearray()
    async for piece in response.pieces:
        body += piece
        if len(body) > limit:
            raise GeneratorResponseError("The generator's response is too large.", raw=bytes(body[:KEPT_BYTES]))
    return bytes(body)
