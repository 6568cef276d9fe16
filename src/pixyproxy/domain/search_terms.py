"""Search terms: text is folded, so that case and accents do not matter, and split."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

MAX_TERM_LENGTH = 64
"""The number of characters of a word that are indexed."""

# Letters that Unicode does not decompose, although readers see the stroke or ligature as an accent.
_UNDECOMPOSED = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "æ": "ae", "œ": "oe", "ı": "i"})

# Scripts written without spaces: their runs are indexed as overlapping pairs of characters.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, further extensions
)
# Kana with and without these marks are different sounds, not accented letters.
_KANA_MARKS = "\u3099\u309a"

_ASCII_TERMS = re.compile(r"[0-9a-z]+|[!-/:-@\[-`{-~]")


def fold(text: str) -> str:
    """Return the text without case, accents and compatibility forms."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in decomposed if unicodedata.category(c) != "Mn" or c in _KANA_MARKS)
    # Case is folded twice, because decomposing can produce upper-case letters ("K" from the Kelvin sign).
    return unicodedata.normalize("NFC", bare.casefold()).translate(_UNDECOMPOSED)


def index_terms(text: str) -> frozenset[str]:
    """Return the terms of a text: its words, pairs of characters in unspaced scripts, and each symbol."""
    folded = fold(text)
    if folded.isascii():
        # Most prompts are ASCII: a rebuild, which is bound by the processor, spends a fifth less time with this.
        return frozenset(term[:MAX_TERM_LENGTH] for term in _ASCII_TERMS.findall(folded))
    return frozenset(term for term, _ in _split(folded))


def query_terms(text: str) -> tuple[str, ...]:
    """Return the terms that a text must have, each by prefix, to match a query; empty if there are none.

    Punctuation is ignored unless the query consists of nothing else.
    """
    found = list(dict.fromkeys(_split(fold(text), last_alone=False)))
    words = tuple(term for term, is_word in found if is_word)
    return words or tuple(term for term, _ in found)


def _split(folded: str, *, last_alone: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield each term, with True for a word and False for punctuation."""
    for kind, characters in groupby(folded, _kind):
        if kind == "word":
            yield "".join(characters)[:MAX_TERM_LENGTH], True
        elif kind == "unspaced":
            yield from _pairs("".join(characters), last_alone)
        elif kind != "space":
            yield from ((char, kind == "emoji") for char in characters)


def _pairs(run: str, last_alone: bool) -> Iterator[tuple[str, bool]]:
    for i in range(len(run) - 1):
        yield run[i : i + 2], True
    if last_alone or len(run) == 1:
        yield run[-1], True


@lru_cache(maxsize=4096)
def _kind(char: str) -> str:
    if char.isascii():
        if char.isalnum():
            return "word"
        return "symbol" if char.isprintable() and char != " " else "space"
    if any(low <= ord(char) <= high for low, high in _UNSPACED):
        return "unspaced" if unicodedata.category(char)[0] in "LMN" else "symbol"
    category = unicodedata.category(char)
    if category[0] in "LMN":
        return "word"
    if category == "So":
        return "emoji"
    return "symbol" if category[0] in "PS" else "space"
