"""Decoding a picture of bounded size to few pixels, in a bounded time; blocking."""

import io
import threading
import time

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture

READERS: dict[str, type[ImageFile.ImageFile]] = {
    "image/png": PngImagePlugin.PngImageFile,
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
    "image/gif": GifImagePlugin.GifImageFile,
    "image/avif": AvifImagePlugin.AvifImageFile,
}
MAX_SCANS = 100
"""A JPEG may draw the whole picture once more for a few bytes, as often as it likes; encoders do so ten times."""
LARGE_PIXELS = 12_000_000
"""Pictures of more pixels are decoded one at a time: each takes four bytes a pixel, and twice that for a moment."""

_large = threading.Lock()


class _TookTooLong(Exception):
    """The time is over."""


class _Timed(io.BytesIO):
    """Bytes that can be read until a deadline: decoders ask for a piece after the other."""

    def __init__(self, data: bytes, deadline: float) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() >= self._deadline:
            raise _TookTooLong
        return super().read(size)


def too_long() -> DataValidationError:
    """The error for a picture that takes too long."""
    return DataValidationError("Decoding the picture takes too long.")


def decode(data: bytes, picture: Picture, longest_side: int, deadline: float) -> Image.Image:
    """The first frame with at most `longest_side` pixels a side, turned as it says, as L, RGB or RGBA.

    `picture` is what the header says. Raises DataValidationError for damaged data, and when `time.monotonic()` has
    come to `deadline`.
    """
    try:
        if picture.width * picture.height <= LARGE_PIXELS:
            return _decode(data, picture, longest_side, deadline)
        with _large:
            return _decode(data, picture, longest_side, deadline)
    except _TookTooLong:
        raise too_long() from None
    except Exception as error:
        # Damage trips the readers up in many ways, all of which mean the same.
        raise DataValidationError("The picture is damaged and cannot be decoded.") from error


def _decode(data: bytes, picture: Picture, longest_side: int, deadline: float) -> Image.Image:
    if picture.media_type == "image/jpeg" and data.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError("too many scans")
    # Each format's reader by itself, as the inspector does, since `PIL.Image.open` would try others too.
    with READERS[picture.media_type](_Timed(data, deadline)) as file:
        if file.size != (picture.width, picture.height):
            raise ValueError("the header says two things")
        file.draft(None, (2 * longest_side, 2 * longest_side))
        file.load()
        image: Image.Image = _with_plain_colours(file)
        image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return _turned(image)


def on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency, on white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    ground.info = image.info
    return ground


def _with_plain_colours(image: Image.Image) -> Image.Image:
    """The same in a mode that can be scaled and that every format can hold."""
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in {"L", "RGB"}:
        return image
    if image.mode.startswith("I"):
        # 16 bits of grey; converted by Pillow, all but the darkest would be white.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "CMYK":
        image.info.pop("icc_profile", None)
    return image.convert("RGB")


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - there is no end of ways in which these fields can be damaged
        # What it says of itself is damaged: the picture is not.
        return image
