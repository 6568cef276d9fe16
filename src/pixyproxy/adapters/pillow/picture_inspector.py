"""Recognition of pictures by their headers."""

import asyncio
from collections.abc import Callable

from pixyproxy.adapters.pillow import header_sizes, web_sizes
from pixyproxy.adapters.pillow.header_bytes import HeaderBytes
from pixyproxy.adapters.pillow.svg import looks_like_svg, svg_size
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture
from pixyproxy.ports.pictures.picture_inspector import PictureInspector

MAX_SIDE = 16_384
MAX_PIXELS = 100_000_000

_SIZES: dict[str, Callable[[HeaderBytes], tuple[int, int]]] = {
    "image/png": web_sizes.png_size,
    "image/jpeg": web_sizes.jpeg_size,
    "image/gif": web_sizes.gif_size,
    "image/webp": web_sizes.webp_size,
    "image/svg+xml": svg_size,
    "image/bmp": header_sizes.bmp_size,
    "image/tiff": header_sizes.tiff_size,
    "image/heic": header_sizes.heif_size,
    "image/heif": header_sizes.heif_size,
    "image/avif": header_sizes.heif_size,
    "image/jxl": header_sizes.jxl_size,
}


class PillowPictureInspector(PictureInspector):
    """Inspector of PNG, JPEG, WebP, GIF, SVG, AVIF, HEIC, JPEG XL, TIFF and BMP; sizes are those before orientation.

    It reads a bounded part of a picture, in a thread: anybody may send one. Pillow's own readers would parse
    metadata, as long as it is, before they return the size.
    """

    async def inspect(self, data: bytes) -> Picture:
        return await asyncio.to_thread(inspect_header, data)


def inspect_header(data: bytes) -> Picture:
    """Return what `PictureInspector.inspect` returns, and raise what it raises."""
    media_type = _detect(data)
    if media_type is None:
        raise DataValidationError(
            "This is not a picture of a known format (PNG, JPEG, WebP, GIF, AVIF, SVG, HEIC, JXL, TIFF, BMP)."
        )
    try:
        width, height = _SIZES[media_type](HeaderBytes(data))
    except Exception as error:
        # Damaged headers raise almost any exception.
        raise DataValidationError(f"This begins like {media_type} but is not a whole picture.") from error
    if min(width, height) < 1 or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise DataValidationError(
            f"The picture says it is {width} x {height} pixels; "
            f"at most {MAX_SIDE} a side and {MAX_PIXELS} in all are accepted."
        )
    return Picture(media_type, width, height)


def _detect(data: bytes) -> str | None:
    """Return the media type by the first bytes (MIME Sniffing Standard; for AVIF its brands, AV1 in HEIF)."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return header_sizes.detect(data) or ("image/svg+xml" if looks_like_svg(data) else None)
