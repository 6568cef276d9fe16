"""Sizes of PNG, JPEG, GIF and WebP pictures, from their headers."""

import struct
import zlib
from collections.abc import Iterator

from pixyproxy.adapters.pillow.header_bytes import HeaderBytes

Size = tuple[int, int]

START_OF_SCAN = 0xDA
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})


def png_size(head: HeaderBytes) -> Size:
    """Return the size in the first chunk, if pixels follow (https://www.w3.org/TR/png-3/#5DataRep)."""
    length, first = struct.unpack(">I21s", head.read(8, 25))
    if length != 13 or not first.startswith(b"IHDR") or first[17:] != struct.pack(">I", zlib.crc32(first[:17])):
        raise ValueError("no IHDR")
    at = 33
    while (chunk := head.read(at, 8))[4:] != b"IDAT":
        at += 12 + int.from_bytes(chunk[:4], "big")
    return struct.unpack(">II", first[4:12])


def jpeg_size(head: HeaderBytes) -> Size:
    """Return the size in the frame header, if a scan follows."""
    size: Size | None = None
    for marker, start, _ in jpeg_segments(head):
        if marker in _START_OF_FRAME and size is None:
            height, width = struct.unpack(">HH", head.read(start + 5, 4))
            size = width, height
    if size is None:
        raise ValueError("no frame")
    return size


def jpeg_segments(head: HeaderBytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment up to the first scan (ITU-T T.81, B.1).

    Raises:
        ValueError: there is no scan within the bounds of a header.
    """
    at, marker = 2, 0
    while marker != START_OF_SCAN:
        prefix, marker, length = struct.unpack(">BBH", head.read(at, 4))
        if prefix != 0xFF or marker == 0xFF:
            marker, at = 0, at + 1  # Any number of 0xFF may precede a marker, and decoders skip other bytes too.
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            start, at = at, at + 2 + max(2, length)
            yield marker, start, at


def gif_size(head: HeaderBytes) -> Size:
    """Return the size of the canvas, if a block follows (https://www.w3.org/Graphics/GIF/spec-gif89a.txt)."""
    width, height, flags = struct.unpack("<HHB", head.read(6, 5))
    colours = 2 << (flags & 7) if flags & 0x80 else 0
    if not head.read(13 + 3 * colours, 10).startswith((b"!", b",")):
        raise ValueError("no block")
    return width, height


def webp_size(head: HeaderBytes) -> Size:
    """Return the size in the first chunk (https://developers.google.com/speed/webp/docs/riff_container)."""
    kind, rest = head.read(12, 4), head.read(20, 10 if head.size >= 30 else 5)
    if kind == b"VP8X" and len(rest) == 10:
        return 1 + int.from_bytes(rest[4:7], "little"), 1 + int.from_bytes(rest[7:10], "little")
    if kind == b"VP8L" and rest[0] == 0x2F:
        bits = int.from_bytes(rest[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(rest) == 10 and rest[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", rest[6:])
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("not a WebP header")


def webp_chunks(head: HeaderBytes) -> Iterator[bytes]:
    """Yield the kind of each chunk, but not of those inside."""
    at, end = 12, min(head.size, 8 + int.from_bytes(head.read(4, 4), "little"))
    while at + 8 <= end:
        kind, length = struct.unpack("<4sI", head.read(at, 8))
        yield kind
        at += 8 + length + (length & 1)
