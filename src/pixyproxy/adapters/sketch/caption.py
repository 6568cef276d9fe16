"""The caption: the prompt, wrapped, as large as fits, with an ellipsis if it is too long."""

import unicodedata
from dataclasses import dataclass

from PIL import Image, ImageDraw

from pixyproxy.adapters.sketch.fonts import best_font, font_for, load_font, readable
from pixyproxy.adapters.sketch.palette import Palette, mix

_MAX_CHARS = 600
_SHRINK = ((1.0, 2), (0.82, 3), (0.68, 4), (0.56, 5))
"""Font sizes to try, as shares of the largest, and the number of lines allowed for each."""
_SMALLEST = 7

Run = tuple[str, str | None]
"""Text and the name of the font that shows it."""


@dataclass(frozen=True, slots=True)
class _Layout:
    lines: list[list[Run]]
    size: int
    complete: bool


def draw_caption(image: Image.Image, prompt: str, palette: Palette) -> None:
    """Draw the prompt on a panel at the bottom of the picture, unless it has no visible characters."""
    text = readable(prompt[:_MAX_CHARS])
    if not text:
        return
    if len(prompt) > _MAX_CHARS:
        text += "…"
    unit = min(image.size)
    largest = max(_SMALLEST, round((image.width * image.height) ** 0.5 / 21))
    margin, padding = round(unit * 0.035), round(unit * 0.026)
    room = image.width - 2 * (margin + padding)
    layout = _fit(text, largest, max(room, 1), image.height - 2 * (margin + padding))
    _paint(image, layout, palette, margin, padding)


def _fit(text: str, largest: int, room: int, height: int) -> _Layout:
    """Lay the text out in the largest size in which it fits, else as much as fits in the smallest."""
    preferred = best_font(text)
    sizes = [(max(_SMALLEST, round(largest * share)), lines) for share, lines in _SHRINK]
    for size, allowed in sizes:
        layout = _wrap(text, preferred, size, room, max(1, min(allowed, int(height / (size * 1.3)))))
        if layout.complete:
            return _balance(text, preferred, layout, room)
    return layout


def _balance(text: str, preferred: str | None, layout: _Layout, room: int) -> _Layout:
    """Lay the text out on the same number of lines, of about the same length."""
    narrow, wide, best = room // 2, room, layout
    for _ in range(6 if len(layout.lines) > 1 else 0):
        middle = (narrow + wide) // 2
        tried = _wrap(text, preferred, layout.size, middle, len(layout.lines))
        if tried.complete:
            wide, best = middle, tried
        else:
            narrow = middle
    return best


def _wrap(text: str, preferred: str | None, size: int, room: int, allowed: int) -> _Layout:
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < allowed:
        line = ""
        while words and _width(f"{line} {words[0]}".strip(), preferred, size) <= room:
            line = f"{line} {words.pop(0)}".strip()
        if not line:
            cut = _cut(words[0], preferred, size, room)
            line, words[0] = words[0][:cut], words[0][cut:]
            if not words[0]:
                words.pop(0)
        lines.append(line)
    if words:
        last = lines[-1]
        while last and _width(f"{last}…", preferred, size) > room:
            last = last[:-1].rstrip()
        lines[-1] = f"{last}…"
    return _Layout([_runs(line, preferred) for line in lines], size, not words)


def _cut(word: str, preferred: str | None, size: int, room: int) -> int:
    """Return how many characters (at least one) of an over-long word or text without spaces fit on a line."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        if _width(word[:middle], preferred, size) <= room:
            low = middle
        else:
            high = middle - 1
    while low > 1 and low < len(word) and unicodedata.combining(word[low]):
        low -= 1
    return low


def _runs(line: str, preferred: str | None) -> list[Run]:
    """Split the line into pieces of one font each; a word has one font if any shows all of it."""
    runs: list[Run] = []
    for word in line.split(" "):
        font = font_for(word, preferred)
        if runs and runs[-1][1] == font:
            runs[-1] = (f"{runs[-1][0]} {word}", font)
        else:
            runs.append((f" {word}" if runs else word, font))
    return runs


def _width(line: str, preferred: str | None, size: int) -> float:
    return sum(load_font(font, size).getlength(text) for text, font in _runs(line, preferred))


def _paint(image: Image.Image, layout: _Layout, palette: Palette, margin: int, padding: int) -> None:
    pitch = round(layout.size * 1.28)
    height = pitch * len(layout.lines) + 2 * padding
    box = (margin, image.height - margin - height, image.width - margin, image.height - margin)
    ink, paper = mix(palette.near, (14, 16, 24), 0.72), mix(palette.light, (255, 255, 255), 0.5)
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius=padding, fill=214)
    bands = len(image.getbands())
    image.paste((*ink, 255)[:bands], box, mask)
    draw = ImageDraw.Draw(image)
    for number, runs in enumerate(layout.lines):
        # One baseline for all fonts of a line.
        baseline = box[1] + padding + pitch * number + round(layout.size * 0.98)
        widths = [load_font(font, layout.size).getlength(text) for text, font in runs]
        x = (image.width - sum(widths)) / 2
        for (text, font), width in zip(runs, widths, strict=True):
            draw.text((x, baseline), text, font=load_font(font, layout.size), fill=paper, anchor="ls")
            x += width
