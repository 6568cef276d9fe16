"""The largest and the typical number of tokens of a request to an image model, before the call.

Output tokens follow OpenAI's image generation guide, whose table covers gpt-image-1 and 1.5 and whose calculator
covers gpt-image-2 and 2.5: https://developers.openai.com/api/docs/guides/image-generation#cost-and-latency (October
2026). Those of gpt-image-1-mini follow from its published prices per picture:
https://developers.openai.com/api/docs/models/gpt-image-1-mini. Any other model counts as the dearest of these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from pixyproxy.domain.image import Picture
from pixyproxy.domain.money.prices import PricedRequest

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_TABLES: Mapping[str, Mapping[str, tuple[int, int, int]]] = {
    # Quality: tokens of 1024x1024, 1024x1536 and 1536x1024.
    "gpt-image-1-mini": {"low": (688, 813, 813), "medium": (1438, 1938, 1938), "high": (4563, 6563, 6563)},
    "gpt-image-1": {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)},
}
"""By the beginning of the model's name, the first that fits. The prices of mini are published in whole 0.001 USD: its
tokens are those of the upper end."""
_TABLE_SIZES = ("1024x1024", "1024x1536", "1536x1024")
_GRIDS: Mapping[str, Mapping[str, int]] = {
    "gpt-image-2.5": {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
    "gpt-image-2": {"low": 16, "medium": 48, "high": 96},
}
"""Cells of the calculator's grid along the longer side, by quality."""
_LARGEST_GRID = 96
_MIN_PIXELS, _MAX_PIXELS, _MAX_RATIO = 655_360, 8_294_400, 3
"""Limits on the sizes of gpt-image-2 and later: what is beyond them may be made in any size."""
_TYPICAL_SIZE, _TYPICAL_QUALITY = "1024x1024", "medium"

_PROMPT_FRAME = 64
"""Text tokens around a prompt. A token of text has at least one byte of UTF-8."""
_BYTES_PER_TOKEN = 4
_OUTPUT_TEXT = 256
"""Text tokens beside a picture, of models that have a price for them."""
_PARTIAL_IMAGE = 100
"""Output tokens of a partial image (the guide, "Partial images cost")."""
_MAX_PARTIAL_IMAGES = 3
_HIGH_FIDELITY_SOURCE = 65 + 4 * 129 + 6240
"""The most input tokens of an edit source of gpt-image-1 and 1.5: base, tiles, and those of high fidelity (the guide,
"Input tokens"). None are published for later models: they count as many as an output of the same size, if more."""


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of a call by kind."""

    text_in: int
    image_in: int
    text_out: int
    image_out: int


def largest_tokens(model: str, request: PricedRequest) -> TokenCounts:
    """Return the largest numbers of tokens that a call for this request can have."""
    image_out = _output_tokens(model, request.options.get("size"), request.options.get("quality"))
    image_out += _PARTIAL_IMAGE * _partial_images(request.options)
    return _for_all(model, request, len(request.prompt.encode(errors="replace")), image_out)


def typical_tokens(model: str, request: PricedRequest) -> TokenCounts:
    """Return typical numbers: a medium picture of 1024x1024 where the request leaves the choice to the model."""
    size, quality = request.options.get("size"), request.options.get("quality")
    image_out = _output_tokens(
        model, _TYPICAL_SIZE if _is_open(size) else size, _TYPICAL_QUALITY if _is_open(quality) else quality
    )
    image_out += _PARTIAL_IMAGE * _partial_images(request.options)
    return _for_all(model, request, len(request.prompt.encode(errors="replace")) // _BYTES_PER_TOKEN, image_out)


def _for_all(model: str, request: PricedRequest, prompt: int, image_out: int) -> TokenCounts:
    """Return the tokens of `n` pictures: each is billed with its own input."""
    image_in = sum(_source_tokens(model, source) for source in request.sources)
    n = request.n
    return TokenCounts((prompt + _PROMPT_FRAME) * n, image_in * n, _OUTPUT_TEXT * n, image_out * n)


def _is_open(option: object) -> bool:
    return option in (None, "auto")


def _output_tokens(model: str, size: object, quality: object) -> int:
    """Return the image tokens of one picture, those of the dearest choice where size or quality say nothing known."""
    for prefix, table in _TABLES.items():
        if model.startswith(prefix):
            rows = [table[quality]] if isinstance(quality, str) and quality in table else list(table.values())
            if size in _TABLE_SIZES:
                return max(row[_TABLE_SIZES.index(str(size))] for row in rows)
            return max(map(max, rows))
    grids: Mapping[str, int] = next((grids for prefix, grids in _GRIDS.items() if model.startswith(prefix)), {})
    grid = grids.get(quality, _LARGEST_GRID) if isinstance(quality, str) else _LARGEST_GRID
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    short, long = sorted((int(match[1]), int(match[2]))) if match else (0, 0)
    if _MIN_PIXELS <= short * long <= _MAX_PIXELS and long <= _MAX_RATIO * short:
        return _grid_tokens(grid, short, long)
    return _grid_tokens(grid, 2880, 2880)  # the most pixels, in a square, which has the most cells


def _grid_tokens(grid: int, short: int, long: int) -> int:
    """Compute OpenAI's formula; its calculator rounds halves to even, as `round` does."""
    cells = grid * round(Fraction(grid * short, long))
    return ceil(Fraction(cells * (2_000_000 + min(short * long, _MAX_PIXELS)), 4_000_000))


def _source_tokens(model: str, source: Picture) -> int:
    if any(model.startswith(prefix) for prefix in _TABLES):
        return _HIGH_FIDELITY_SOURCE
    return max(_HIGH_FIDELITY_SOURCE, _grid_tokens(_LARGEST_GRID, *sorted((source.width, source.height))))


def _partial_images(options: Mapping[str, Any]) -> int:
    count = options.get("partial_images", 0)
    if type(count) is int and 0 <= count <= _MAX_PARTIAL_IMAGES:
        return count
    return 0 if count is None else _MAX_PARTIAL_IMAGES
