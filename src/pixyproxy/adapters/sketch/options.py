"""What the options of a request mean to the sketch generator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixyproxy.domain.errors import GeneratorRequestError

MIN_SIDE = 16
MAX_SIDE = 4096
_DEFAULT_SIZE = (1024, 1024)
_FORMATS = {"png": "PNG", "jpeg": "JPEG", "jpg": "JPEG", "webp": "WEBP"}
_QUALITIES = {"low": 60, "medium": 80, "high": 93, "auto": 85}
_OTHER_NAMES = {"standard": "medium", "hd": "high"}
MAX_VIEWS = 3


@dataclass(frozen=True, slots=True)
class SketchOptions:
    """Size in pixels, Pillow's name of the format, whether the sky is left out, low, medium, high or auto quality.

    `views` is how many early views are wanted.
    """

    width: int
    height: int
    format: str
    transparent: bool
    quality: str
    views: int

    @property
    def encoder_quality(self) -> int:
        """From 0 to 100."""
        return _QUALITIES[self.quality]

    @property
    def reported(self) -> dict[str, str]:
        """The options as a caller would have to give them to get the same."""
        return {
            "size": f"{self.width}x{self.height}",
            "output_format": self.format.lower(),
            "background": "transparent" if self.transparent else "opaque",
            "quality": self.quality,
        }


def parse_options(options: Mapping[str, Any]) -> SketchOptions:
    """Read the options this generator knows and ignore the others; None and "auto" mean the default.

    Raises GeneratorRequestError that says what would be right.
    """
    width, height = _size(options.get("size"))
    output_format = _FORMATS.get(str(_or_default(options.get("output_format"), "png")).lower())
    if output_format is None:
        raise GeneratorRequestError("output_format must be png, jpeg or webp.")
    transparent = options.get("background") == "transparent"
    if transparent and output_format == "JPEG":
        raise GeneratorRequestError(
            'background "transparent" needs output_format png or webp: jpeg has no transparency.'
        )
    quality = str(options.get("quality")).lower()
    quality = _OTHER_NAMES.get(quality, quality)
    views = options.get("partial_images")
    return SketchOptions(
        width,
        height,
        output_format,
        transparent,
        quality if quality in _QUALITIES else "auto",
        min(max(views, 0), MAX_VIEWS) if isinstance(views, int) else 0,
    )


def _size(size: object) -> tuple[int, int]:
    text = _or_default(size, None)
    if text is None:
        return _DEFAULT_SIZE
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text.strip().lower()) if isinstance(text, str) else None
    if match is not None:
        width, height = int(match[1]), int(match[2])
        if MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE:
            return width, height
    raise GeneratorRequestError(
        f'size must be WIDTHxHEIGHT with {MIN_SIDE} to {MAX_SIDE} pixels a side, such as "1024x1024", or "auto".'
    )


def _or_default(value: object, default: object) -> object:
    return default if value is None or value == "auto" else value
