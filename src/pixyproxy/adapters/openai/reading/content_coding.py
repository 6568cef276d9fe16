"""Unpacking of a whole body by its Content-Encoding (RFC 9110, 8.4), as far as the bytes go."""

from collections.abc import Iterator

import httpx2

MAX_CODINGS = 5
"""Codings of a body that are undone; more are no honest mistake."""

_SLICE_BYTES = 1024
_TRAILER_BYTES = 32
"""End of a body that is unpacked byte by byte: a wrong checksum there must not cost the bytes before it."""
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "x-deflate": "deflate", "br": "br", "zstd": "zstd"}
_MAGIC = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def codings_of(header: str | None) -> list[str]:
    """Return the known codings in a Content-Encoding field, in the order in which they were applied."""
    names = (name.strip().lower() for name in (header or "").split(","))
    return [_NAMES[name] for name in names if name in _NAMES]


def sniff_coding(data: bytes) -> list[str]:
    """Return the coding by which the bytes themselves begin, for a body whose label is missing."""
    return [coding for magic, coding in _MAGIC.items() if data.startswith(magic)]


def unpack(data: bytes, codings: list[str], limit: int) -> bytes:
    """Return the unpacked bytes, at most `limit`; a damaged body gives what comes before the damage.

    A body that is not packed at all is returned as it is.
    """
    if not codings or len(codings) > MAX_CODINGS:
        return data
    headers = {"Content-Encoding": ", ".join(codings)}
    unpacked = bytearray()
    try:
        # In small slices, because the decoders drop what they unpacked of the slice in which they find the damage.
        for piece in httpx2.Response(200, headers=headers, stream=_Slices(data)).iter_bytes():
            unpacked += piece
            if len(unpacked) > limit:
                return bytes(unpacked[:limit])
    except httpx2.DecodingError:
        if not unpacked:
            return data
    return bytes(unpacked)


class _Slices(httpx2.SyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        trailer = max(0, len(self._data) - _TRAILER_BYTES)
        for start in range(0, trailer, _SLICE_BYTES):
            yield self._data[start : min(start + _SLICE_BYTES, trailer)]
        for start in range(trailer, len(self._data)):
            yield self._data[start : start + 1]
