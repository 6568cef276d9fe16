"""Body of a successful response, read within a limit."""

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from pixyproxy.domain.errors import GeneratorResponseError

KEPT_BYTES = 1024 * 1024
"""Bytes kept of a body that is too large or cannot be decompressed."""


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the whole body.

    Raises GeneratorResponseError, with the beginning of the body, as soon as it is longer than `limit` (before
    reading if Content-Length says so) or its Content-Encoding is wrong.
    """
    declared = response.content_length
    if declared is not None and declared > limit:
        raise GeneratorResponseError(f"The generator's response is too large ({declared} bytes).")
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await response.content.readany():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise GeneratorResponseError("The generator's response is too large.", raw=_beginning(pieces))
    except aiohttp.ClientPayloadError as error:
        if not isinstance(error.__cause__, ContentEncodingError):
            raise
        raise GeneratorResponseError("The generator's response cannot be unpacked.", raw=_beginning(pieces)) from None
    return b"".join(pieces)


def _beginning(pieces: list[bytes]) -> bytes:
    beginning = bytearray()
    for piece in pieces:
        if len(beginning) >= KEPT_BYTES:
            break
        beginning += piece
    return bytes(beginning[:KEPT_BYTES])
