"""Options of the sketch generator."""

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
MAX_PARTIALS = 3


@dataclass(frozen=True, slots=True)
class SketchOptions:
    """Size in pixels, Pillow's name of the format, whether the sky is left out, quality (low, medium, high or auto).

    `partials` is the number of partial images.
    """

    width: int
    height: int
    format: str
    transparent: bool
    quality: str
    partials: int

    @property
    def encoder_quality(self) -> int:
        """Quality for Pillow, from 0 to 100."""
        return _QUALITIES[self.quality]

    @property
    def reported(self) -> dict[str, str]:
        """The options with which a request would get the same picture."""
        return {
            "size": f"{self.width}x{self.height}",
            "output_format": self.format.lower(),
            "background": "transparent" if self.transparent else "opaque",
            "quality": self.quality,
        }


def parse_options(options: Mapping[str, Any]) -> SketchOptions:
    """Read the options this generator knows and ignore the others; None and "auto" mean the default.

    Raises GeneratorRequestError that names the valid values.
    """
    width, height = _parse_size(options.get("size"))
    output_format = options.get("output_format")
    output_format = _FORMATS.get("png" if output_format in (None, "auto") else str(output_format).lower())
    if output_format is None:
        raise GeneratorRequestError("output_format must be png, jpeg or webp.")
    transparent = options.get("background") == "transparent"
    if transparent and output_format == "JPEG":
        raise GeneratorRequestError(
            'background "transparent" needs output_format png or webp: jpeg has no transparency.'
        )
    quality = str(options.get("quality")).lower()
    quality = _OTHER_NAMES.get(quality, quality)
    partials = options.get("partial_images")
    return SketchOptions(
        width,
        height,
        output_format,
        transparent,
        quality if quality in _QUALITIES else "auto",
        min(max(partials, 0), MAX_PARTIALS) if isinstance(partials, int) else 0,
    )


def _parse_size(size: object) -> tuple[int, int]:
    if size is None or size == "auto":
        return _DEFAULT_SIZE
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size.strip().lower()) if isinstance(size, str) else None
    if match is not None:
        width, height = int(match[1]), int(match[2])
        if MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE:
            return width, height
    raise GeneratorRequestError(
        f'size must be WIDTHxHEIGHT with {MIN_SIDE} to {MAX_SIDE} pixels a side, such as "1024x1024", or "auto".'
    )
