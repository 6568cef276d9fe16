"""Sizes of pictures that nothing here decodes, from their headers: BMP, TIFF, HEIC and JPEG XL, and AVIF."""

import struct

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TIFF_TYPES = {3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
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


def bmp_size(data: bytes) -> Size:
    """Return the size; a negative height means rows from the top."""
    if data[14] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def tiff_size(data: bytes) -> Size:
    """Return the size in the first directory, of TIFF 6.0 or BigTIFF."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = b"+" in data[2:4]
    (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, at)
    at, step = at + (8 if is_big else 2), 20 if is_big else 12
    found: dict[int, int] = {}
    for number in range(min(count, 1000)):
        tag, kind = struct.unpack_from(f"{order}HH", data, at + number * step)
        if tag in {256, 257}:
            form, _ = _TIFF_TYPES[kind]
            (found[tag],) = struct.unpack_from(order + form, data, at + number * step + (12 if is_big else 8))
    return found[256], found[257]


def heif_size(data: bytes) -> Size:
    """Return the largest size in the `meta` box: that of the picture, whose tiles and thumbnail are smaller."""
    start, end = _box(data, b"meta")
    sizes: list[Size] = []
    at = data.find(b"ispe", start, end)
    while at >= 0:
        sizes.append(struct.unpack_from(">II", data, at + 8))
        at = data.find(b"ispe", at + 4, end)
    return max(sizes, key=lambda size: size[0] * size[1])


def jxl_size(data: bytes) -> Size:
    """Return the size in the codestream's header (ISO/IEC 18181-1, SizeHeader)."""
    if data.startswith(_JXL_CONTAINER):
        try:
            start, _ = _box(data, b"jxlc")
        except ValueError:
            start = _box(data, b"jxlp")[0] + 4
        data = data[start : start + 16]
    if not data.startswith(b"\xff\x0a"):
        raise ValueError("no codestream")
    bits, left = int.from_bytes(data[2:16], "little"), 8 * len(data[2:16])

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


def _box(data: bytes, kind: bytes) -> tuple[int, int]:
    """Return start and end of the content of the first box of this kind at the top level."""
    at = 0
    while at + 8 <= len(data):
        size, header = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if size == 0 else at + size
        if data[at + 4 : at + 8] == kind:
            return at + header, min(end, len(data))
        if end <= at:
            break
        at = end
    raise ValueError(f"no box {kind!r}")
