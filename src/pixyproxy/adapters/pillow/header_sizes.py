"""Sizes of pictures that nothing here decodes, from their headers: BMP, TIFF, HEIC and JPEG XL, and AVIF."""

import struct
from collections.abc import Collection, Iterator

from pixyproxy.adapters.pillow.header_bytes import HeaderBytes

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT = 256, 257
_JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

Size = tuple[int, int]


def detect(data: bytes) -> str | None:
    """Return the media type by the first bytes, None for another format."""
    if data.startswith(b"BM") and data[14:18] in {struct.pack("<I", n) for n in (12, 40, 52, 56, 64, 108, 124)}:
        return "image/bmp"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")):
        return "image/tiff"
    if data.startswith((b"\xff\x0a", _JXL_CONTAINER)):
        return "image/jxl"
    if data[4:8] == b"ftyp":
        brands = brands_of(data)
        if brands & {b"avif", b"avis"}:
            return "image/avif"
        if brands & _HEIF_BRANDS:
            return "image/heic" if brands & (_HEIF_BRANDS - {b"mif1", b"msf1"}) else "image/heif"
    return None


def brands_of(data: bytes) -> set[bytes]:
    """Return the brands of a file in ISO's base media format (HEIF, AVIF)."""
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def bmp_size(head: HeaderBytes) -> Size:
    """Return the size; a negative height means rows from the top."""
    (length,) = struct.unpack("<I", head.read(14, 4))
    width, height = struct.unpack("<HH", head.read(18, 4)) if length == 12 else struct.unpack("<ii", head.read(18, 8))
    return width, abs(height)


def tiff_size(head: HeaderBytes) -> Size:
    """Return the size in the first directory, of TIFF 6.0 or BigTIFF."""
    found = tiff_numbers(head, {_WIDTH, _HEIGHT})
    return found[_WIDTH], found[_HEIGHT]


def tiff_numbers(head: HeaderBytes, tags: Collection[int]) -> dict[int, int]:
    """Return the values of these tags in the first directory, of which the first thousand entries are read."""
    mark = head.read(0, 4)
    order = "<" if mark.startswith(b"II") else ">"
    is_big = b"+" in mark[2:]
    (at,) = struct.unpack(order + "Q", head.read(8, 8)) if is_big else struct.unpack(order + "I", head.read(4, 4))
    (count,) = struct.unpack(order + "Q", head.read(at, 8)) if is_big else struct.unpack(order + "H", head.read(at, 2))
    at, step, offset = (at + 8, 20, 12) if is_big else (at + 2, 12, 8)
    count = min(count, 1000, (head.size - at) // step)
    entries = head.read(at, count * step)
    found: dict[int, int] = {}
    for start in range(0, len(entries), step):
        tag, kind = struct.unpack_from(f"{order}HH", entries, start)
        if tag in tags:
            (found[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], entries, start + offset)
    return found


def heif_size(head: HeaderBytes) -> Size:
    """Return the largest size among the properties: that of the picture, whose tiles and thumbnail are smaller."""
    _, start, end = _box(head, {b"meta"}, 0, head.size)
    _, start, end = _box(head, {b"iprp"}, start + 4, end)
    _, start, end = _box(head, {b"ipco"}, start, end)
    sizes = [struct.unpack(">II", head.read(at + 4, 8)) for kind, at, _ in boxes(head, start, end) if kind == b"ispe"]
    return max(sizes, key=lambda size: size[0] * size[1])


def jxl_size(head: HeaderBytes) -> Size:
    """Return the size in the codestream's header (ISO/IEC 18181-1, SizeHeader)."""
    start = 0
    if head.read(0, 2) != b"\xff\x0a":
        kind, start, _ = _box(head, {b"jxlc", b"jxlp"}, 0, head.size)
        start += 4 if kind == b"jxlp" else 0
    data = head.read(start, min(16, head.size - start))
    if not data.startswith(b"\xff\x0a"):
        raise ValueError("no codestream")
    bits, left = int.from_bytes(data[2:], "little"), 8 * len(data[2:])

    def take(count: int) -> int:
        nonlocal bits, left
        value, bits, left = bits & ((1 << count) - 1), bits >> count, left - count
        if left < 0:
            raise ValueError("the header ends early")
        return value

    is_small = take(1)

    def take_side() -> int:
        return (take(5) + 1) * 8 if is_small else 1 + take((9, 13, 18, 30)[take(2)])

    height, ratio = take_side(), take(3)
    if ratio == 0:
        return take_side(), height
    numerator, denominator = _JXL_RATIOS[ratio - 1]
    return height * numerator // denominator, height


def _box(head: HeaderBytes, kinds: Collection[bytes], start: int, end: int) -> tuple[bytes, int, int]:
    """Return the first box of one of these kinds, as `boxes` yields it."""
    for box in boxes(head, start, end):
        if box[0] in kinds:
            return box
    raise ValueError("a box is missing")


def boxes(head: HeaderBytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the content of each box, but not of those inside (ISO/IEC 14496-12, 4.2)."""
    while at + 8 <= end:
        size, kind = struct.unpack(">I4s", head.read(at, 8))
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(head.read(start, 8), "big"), at + 16
        at = end if size == 0 else at + size
        if at < start:
            raise ValueError("a box is smaller than its header")
        yield kind, start, min(at, end)
