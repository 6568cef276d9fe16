"""Unpacking of a whole body by its Content-Encoding (RFC 9110, 8.4), as far as the bytes go."""

import zlib
from collections.abc import Iterator

import httpx2

MAX_CODINGS = 5
"""Codings of a body that are undone; more are no honest mistake."""

_SLICE_BYTES = 1024
_TRAILER_BYTES = 32
"""End of a body that is unpacked byte by byte: a wrong checksum there must not cost the bytes before it."""
_PIECE_BYTES = 1024 * 1024
_MAX_FILES = 1000
"""Files in a row that are unpacked: empty ones cost much time for few bytes."""
_GZIP = 31
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "x-deflate": "deflate", "br": "br", "zstd": "zstd"}
_MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    **dict.fromkeys((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), "deflate"),
}
"""Beginnings of packed bytes; no document, stream or picture begins like one of them."""


def codings_of(header: str | None) -> list[str]:
    """Return the known codings in a Content-Encoding field, in the order in which they were applied."""
    names = (name.strip().lower() for name in (header or "").split(","))
    return [_NAMES[name] for name in names if name in _NAMES]


def sniff_coding(data: bytes) -> list[str]:
    """Return the coding by which the bytes themselves begin, for a body whose label is missing."""
    return [coding for magic, coding in _MAGIC.items() if data.startswith(magic)]


def unpack(data: bytes, codings: list[str], limit: int) -> bytes:
    """Return the unpacked bytes, at most `limit`; a damaged body gives what comes before the damage.

    A body that is not packed at all is returned as it is. Blocks for some milliseconds per megabyte.
    """
    if len(codings) > MAX_CODINGS:
        return data
    for coding in reversed(codings):
        unpacked = bytearray()
        for piece in _gunzip(data) if coding == "gzip" else _decode(data, coding):
            unpacked += piece
            if len(unpacked) > limit:
                break
        data = bytes(unpacked[:limit]) or data
    return data


def _gunzip(data: bytes) -> Iterator[bytes]:
    """Yield the content of gzip, which may be several files in a row (RFC 1952, section 2.2), up to a damage."""
    decoder = zlib.decompressobj(_GZIP)
    files = 0
    for piece in _slices(data):
        goes_on = True
        while goes_on:
            try:
                unpacked = decoder.decompress(piece, _PIECE_BYTES)
            except zlib.error:
                return
            yield unpacked
            piece = decoder.unconsumed_tail
            goes_on = piece != b"" or len(unpacked) == _PIECE_BYTES
            if decoder.eof:
                piece, decoder, files = decoder.unused_data, zlib.decompressobj(_GZIP), files + 1
                goes_on = piece != b""
                if files == _MAX_FILES:
                    return


def _decode(data: bytes, coding: str) -> Iterator[bytes]:
    """Yield the content of another coding, up to a damage."""
    try:
        yield from httpx2.Response(200, headers={"Content-Encoding": coding}, stream=_PackedBody(data)).iter_bytes()
    except httpx2.DecodingError:
        return


class _PackedBody(httpx2.SyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        return _slices(self._data)


def _slices(data: bytes) -> Iterator[bytes]:
    """Yield the data in small pieces: the decoders drop what they unpacked of the piece in which the damage is."""
    trailer = max(0, len(data) - _TRAILER_BYTES)
    for start in range(0, trailer, _SLICE_BYTES):
        yield data[start : min(start + _SLICE_BYTES, trailer)]
    for start in range(trailer, len(data)):
        yield data[start : start + 1]
