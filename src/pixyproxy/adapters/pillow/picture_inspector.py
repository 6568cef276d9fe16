"""Recognition of pictures with the header readers of Pillow."""

import io
import struct
from collections.abc import Callable

from PIL import AvifImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin

from pixyproxy.adapters.pillow import header_sizes
from pixyproxy.adapters.pillow.svg import looks_like_svg, svg_size
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture
from pixyproxy.ports.pictures.picture_inspector import PictureInspector

MAX_SIDE = 16_384
MAX_PIXELS = 100_000_000

Size = tuple[int, int]


class PillowPictureInspector(PictureInspector):
    """Inspector of PNG, JPEG, WebP, GIF, SVG, AVIF, HEIC, JPEG XL, TIFF and BMP; sizes are those before orientation.

    Each format's reader is called directly: `PIL.Image.open` would try them all, shares state between threads, and
    reports large pictures by a process-wide warning. It takes some tens of microseconds, so it runs in the event loop.
    """

    async def inspect(self, data: bytes) -> Picture:
        found = _detect(data)
        if found is None:
            raise DataValidationError(
                "This is not a picture of a known format (PNG, JPEG, WebP, GIF, AVIF, SVG, HEIC, JXL, TIFF, BMP)."
            )
        media_type, measure = found
        try:
            width, height = measure(data)
        except Exception as error:
            # Damaged headers make the readers raise almost any exception.
            raise DataValidationError(f"This begins like {media_type} but is not a whole picture.") from error
        if min(width, height) < 1 or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise DataValidationError(
                f"The picture says it is {width} x {height} pixels; "
                f"at most {MAX_SIDE} a side and {MAX_PIXELS} in all are accepted."
            )
        return Picture(media_type, width, height)


def _detect(data: bytes) -> tuple[str, Callable[[bytes], Size]] | None:
    """Return media type and reader by the first bytes (MIME Sniffing Standard; for AVIF its brands, AV1 in HEIF)."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", _size_by(PngImagePlugin.PngImageFile)
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", _size_by(JpegImagePlugin.JpegImageFile)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif", _size_by(GifImagePlugin.GifImageFile)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp", _webp_size
    if (media_type := header_sizes.detect(data)) is not None:
        return media_type, _OTHER_SIZES[media_type]
    if looks_like_svg(data):
        return "image/svg+xml", svg_size
    return None


def _size_by(reader: type[ImageFile.ImageFile]) -> Callable[[bytes], Size]:
    return lambda data: reader(io.BytesIO(data)).size


def _avif_size(data: bytes) -> Size:
    """Return the size; a picture is stored and sent whether or not this Pillow can decode it."""
    return _size_by(AvifImagePlugin.AvifImageFile)(data) if AvifImagePlugin.SUPPORTED else header_sizes.heif_size(data)


_OTHER_SIZES: dict[str, Callable[[bytes], Size]] = {
    "image/bmp": header_sizes.bmp_size,
    "image/tiff": header_sizes.tiff_size,
    "image/heic": header_sizes.heif_size,
    "image/heif": header_sizes.heif_size,
    "image/jxl": header_sizes.jxl_size,
    "image/avif": _avif_size,
}


def _webp_size(data: bytes) -> Size:
    """Read the header here, because Pillow's reader allocates two whole canvases before it returns the size.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    kind = data[12:16]
    if kind == b"VP8X":
        flags_and_size = data[20:30]
        if len(flags_and_size) == 10:
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("not a WebP header")
