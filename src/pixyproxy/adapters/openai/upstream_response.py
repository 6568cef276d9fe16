"""A successful response of the upstream, with a body that is still to be read and perhaps decompressed."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from pixyproxy.adapters.openai.error_responses import ContentDecodingError
from pixyproxy.domain.errors import GeneratorResponseError

ReadPiece = Callable[[], Awaitable[bytes]]

KEPT_BYTES = 1024 * 1024
"""Bytes kept of a body that is too large or cannot be decompressed."""
MAX_PIECE_BYTES = 1024 * 1024
MAX_CODINGS = 5
"""A body that was compressed more often is refused."""

_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "deflate": _ZLIB}


@dataclass(slots=True, eq=False)
class UpstreamResponse:
    """A successful response.

    `read` returns the next piece of the body, and no bytes at its end. `close` gives the connection up and makes
    a pending `read` fail.
    """

    headers: Mapping[str, str]
    read: ReadPiece
    close: Callable[[], Awaitable[None]]

    @property
    def declared_bytes(self) -> int | None:
        """Length of the body according to Content-Length, or None if it is missing."""
        declared = self.headers.get("content-length", "")
        return int(declared) if declared.isdecimal() else None


async def read_body(response: UpstreamResponse, limit: int) -> bytes:
    """Return the whole body.

    Raises GeneratorResponseError, with the beginning of the body, as soon as it is longer than `limit` (before
    reading if Content-Length says so) or its Content-Encoding is wrong.
    """
    declared = response.declared_bytes
    if declared is not None and declared > limit:
        raise GeneratorResponseError(f"The generator's response is too large ({declared} bytes).")
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await response.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise GeneratorResponseError("The generator's response is too large.", raw=_beginning(pieces))
    except ContentDecodingError:
        raise GeneratorResponseError("The generator's response cannot be unpacked.", raw=_beginning(pieces)) from None
    return b"".join(pieces)


def _beginning(pieces: list[bytes]) -> bytes:
    beginning = bytearray()
    for piece in pieces:
        if len(beginning) >= KEPT_BYTES:
            break
        beginning += piece
    return bytes(beginning[:KEPT_BYTES])


def decode_content(read: ReadPiece, codings: Iterable[str]) -> ReadPiece:
    """Undo content codings (RFC 9110, 8.4), given in the order in which they were applied; ignore unknown ones.

    The returned function raises ContentDecodingError.
    """
    known = [bits for coding in codings if (bits := _WINDOW_BITS.get(coding.strip().lower())) is not None]
    if len(known) > MAX_CODINGS:
        return _refuse_codings
    for bits in reversed(known):
        read = _ContentDecoder(read, bits).read
    return read


async def _refuse_codings() -> bytes:
    raise ContentDecodingError(f"compressed more than {MAX_CODINGS} times")


class _ContentDecoder:
    """Decompressor that returns at most MAX_PIECE_BYTES at once, since a few bytes may expand to any number."""

    def __init__(self, read: ReadPiece, window_bits: int) -> None:
        self._read = read
        self._window_bits = window_bits
        self._inflater = zlib.decompressobj(window_bits)
        self._has_begun = False

    async def read(self) -> bytes:
        piece = self._decompress(self._inflater.unconsumed_tail) if self._has_begun else b""
        while not piece and not self._inflater.eof:
            compressed = await self._read()
            if not compressed:
                return self._inflater.flush()
            piece = self._decompress(compressed)
        return piece

    def _decompress(self, compressed: bytes) -> bytes:
        is_first, self._has_begun = not self._has_begun, True
        try:
            return self._inflater.decompress(compressed, MAX_PIECE_BYTES)
        except zlib.error as error:
            if is_first and self._window_bits == _ZLIB:  # some servers send `deflate` without the zlib header
                self._inflater = zlib.decompressobj(_RAW)
                return self._decompress(compressed)
            raise ContentDecodingError(str(error)) from error
