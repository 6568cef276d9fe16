"""Blocking decoder of pictures, bounded in size and time."""

import io
import threading
import time
from contextlib import nullcontext

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageMath,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from pixyproxy.adapters.pillow.header_bytes import MAX_BYTES, HeaderBytes
from pixyproxy.adapters.pillow.header_sizes import boxes
from pixyproxy.adapters.pillow.web_sizes import webp_chunks
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture

READERS: dict[str, type[ImageFile.ImageFile]] = {
    "image/png": PngImagePlugin.PngImageFile,
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
    "image/gif": GifImagePlugin.GifImageFile,
    "image/avif": AvifImagePlugin.AvifImageFile,
}
TOO_LONG = "Decoding the picture takes too long."
MAX_SCANS = 100
"""Limit for JPEG, in which a few bytes can make the decoder redraw the picture; encoders use ten scans."""
MAX_OPENING_READS = 4096
MAX_READS = 100_000
"""Limits for formats that are read in pieces: while a reader opens a picture, and in all. A segment takes three."""
MAX_BOX_BYTES = 32 * 1024
"""Limit for AVIF, whose reader takes quadratic time over the tables of its items, with the interpreter locked."""
_BULK = {b"mdat", b"uuid", b"free", b"skip"}
LARGE_PIXELS = 12_000_000
"""Larger pictures are decoded one at a time: each takes four bytes a pixel, and twice that for a moment."""

_large = threading.Lock()


class _DeadlineExceeded(Exception):
    """Decoding took too long."""


class BoundedFile(io.BytesIO):
    """A picture as a file that can be read until a deadline, in a limited number of pieces."""

    def __init__(self, data: bytes, deadline: float) -> None:
        super().__init__(data)
        self._deadline = deadline
        self.reads = 0
        self.opening_bytes = 0
        self.is_open = False

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() >= self._deadline:
            raise _DeadlineExceeded
        self.reads += 1
        # The readers that ask for the whole file parse it in C.
        if not self.is_open and size is not None and size > 0:
            self.opening_bytes += size
        if self.reads > (MAX_READS if self.is_open else MAX_OPENING_READS) or self.opening_bytes > MAX_BYTES:
            raise ValueError("the picture is in too many pieces")
        return super().read(size)


def decode(data: bytes, picture: Picture, longest_side: int, deadline: float) -> Image.Image:
    """Return the first frame with at most `longest_side` pixels a side, oriented, as L, RGB or RGBA.

    `picture` holds what the header says.
    Raises DataValidationError for damaged data, and when `time.monotonic()` reaches `deadline`.
    """
    try:
        with _large if picture.width * picture.height > LARGE_PIXELS else nullcontext():
            return _decode(data, picture, longest_side, deadline)
    except _DeadlineExceeded:
        raise DataValidationError(TOO_LONG) from None
    except Exception as error:
        # Damaged data makes the readers raise almost any exception.
        raise DataValidationError("The picture is damaged and cannot be decoded.") from error


def _decode(data: bytes, picture: Picture, longest_side: int, deadline: float) -> Image.Image:
    _check_parts(data, picture.media_type)
    # One reader per format: `PIL.Image.open` would try others too.
    source = BoundedFile(data, deadline)
    with READERS[picture.media_type](source) as file:
        source.is_open = True
        if file.size != (picture.width, picture.height):
            raise ValueError("the readers disagree about the size")
        file.draft(None, (2 * longest_side, 2 * longest_side))
        file.load()
        if picture.media_type == "image/png":
            _scale_transparent_colour(file, data[24])
        image: Image.Image = _with_plain_colours(file)
        image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return _oriented(image)


def _check_parts(data: bytes, media_type: str) -> None:
    """Raise ValueError for a picture in so many parts that the C libraries would take long over them."""
    if media_type == "image/jpeg" and data.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError("too many scans")
    if media_type == "image/webp":
        for _ in webp_chunks(HeaderBytes(data)):
            pass
    if media_type == "image/avif":
        for kind, start, end in boxes(HeaderBytes(data), 0, len(data)):
            if kind not in _BULK and end - start > MAX_BOX_BYTES:
                raise ValueError("a table of items is too long")


def on_white(image: Image.Image) -> Image.Image:
    """Return the picture without transparency, on white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    ground.info = image.info
    return ground


def _with_plain_colours(image: Image.Image) -> Image.Image:
    """Convert to a mode that can be scaled and that every format supports."""
    if image.mode.startswith("I"):
        return _grey(image)
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in {"L", "RGB"}:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "CMYK":
        image.info.pop("icc_profile", None)
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Return 16-bit grey in 8 bits; Pillow's own conversion would clip nearly all of it to white."""
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 256)).convert("L")
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return grey
    # Only this exact value is transparent: its neighbours of the same 8 bits are not.
    other = ImageMath.lambda_eval(lambda names: names["wide"] != key, wide=wide)
    result = Image.merge("LA", (grey, other.point(lambda value: value * 255).convert("L"))).convert("RGBA")
    result.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return result


def _scale_transparent_colour(image: Image.Image, depth: int) -> None:
    """Bring the transparent colour of a PNG from its own bits per sample to the 8 bits that Pillow has made of them."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and depth < 8:
        image.info["transparency"] = key * 255 // ((1 << depth) - 1)
    elif image.mode == "RGB" and isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _oriented(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - damaged metadata raises almost any exception; the picture is fine
        return image
