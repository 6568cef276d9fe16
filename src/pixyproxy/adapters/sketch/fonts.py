"""Fonts that can show a text, and replacements for characters that none of them has."""

import unicodedata
from functools import lru_cache

from PIL import ImageFont

# Searched by name in the system's font folders, widest coverage first. Pillow's own font comes before them, so that
# most captions look the same on every machine.
_CANDIDATES = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf",
    "wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf",
    "NotoEmoji-Regular.ttf", "Symbola.ttf", "Arial Unicode.ttf", "PingFang.ttc", "arial.ttf", "msyh.ttc",
    "seguisym.ttf",
)  # fmt: skip
_PROBE_SIZE = 16
_MAX_MARKS = 3
"""Limit of combining marks on one letter; more would leave the caption."""

Font = ImageFont.FreeTypeFont


@lru_cache(maxsize=1)
def _names() -> tuple[str | None, ...]:
    """Return the fonts of this machine; None is Pillow's own."""
    found: list[str | None] = [None]
    for name in _CANDIDATES:
        try:
            ImageFont.truetype(name, _PROBE_SIZE)
        except OSError:
            continue
        found.append(name)
    return tuple(found)


@lru_cache(maxsize=256)
def load_font(name: str | None, size: int) -> Font:
    """Load a font by name (None: Pillow's own) and size in pixels."""
    if name is not None:
        return ImageFont.truetype(name, size)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType")
    return font


@lru_cache(maxsize=32)
def _unshaped(name: str | None) -> Font:
    """Return the font without shaping, which would put a dotted circle under a lone mark."""
    return load_font(name, _PROBE_SIZE).font_variant(layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8192)
def _shows(name: str | None, char: str) -> bool:
    """Return whether a font has the glyph: its mask is not empty and differs from that of a missing character."""
    if char.isspace():
        return True
    font = _unshaped(name)
    mask, missing = font.getmask(char), font.getmask("\U0010fffd")
    return mask.getbbox() is not None and (mask.size, bytes(mask)) != (missing.size, bytes(missing))


def best_font(text: str) -> str | None:
    """Return the font that shows the most characters of a text, the first if several do."""
    chars = [c for c in text if not c.isspace()]
    return max(_names(), key=lambda name: sum(_shows(name, c) for c in chars))


def font_for(word: str, preferred: str | None) -> str | None:
    """Return the preferred font if it shows all of a word, else the first that does, else the best one."""
    if all(_shows(preferred, c) for c in word):
        return preferred
    return best_font(word)


def readable(text: str) -> str:
    """Return the text on one line, with each character that no font shows replaced by its Unicode name.

    Letters become the last word of their name (か: ka), symbols their name in brackets (🦆: [duck]), others their
    code point (中: U+4E2D). Marks and controls that cannot be shown are left out, as are too many marks on a letter.
    """
    shown: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        if marks <= _MAX_MARKS:
            shown.append(char if char.isspace() or _is_shown(char) else _spell(char))
    return " ".join("".join(shown).split())


def _is_shown(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"} and any(_shows(n, char) for n in _names())


def _spell(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cs":
        return "?"
    if category[0] == "M" or category in {"Cc", "Cf"} or 0x1F3FB <= ord(char) <= 0x1F3FF:
        return ""
    name = unicodedata.name(char, "")
    if category[0] == "L" and (" LETTER " in name or " SYLLABLE " in name):
        return name.rsplit(" ", 1)[1].lower()
    if category[0] == "S" and name:
        return f" [{name.lower()}] "
    return f" U+{ord(char):04X} "
