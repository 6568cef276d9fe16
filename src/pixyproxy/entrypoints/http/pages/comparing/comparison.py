"""The comparison of two pictures: their prompts and parameters in rows, with the differences marked."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

_WORDS = re.compile(r"^\s+|\S+\s*")
_MOST_WORDS = 100
"""Words of a prompt that are compared one by one: the time can grow with the third power of their number."""
_LEAST_ALIKE = 0.3
"""Share of common words below which marking words would mark nearly all."""
_PROMPTS = (("Prompt", "prompt"), ("Revised prompt", "revised_prompt"))
_FACTS = (("Made by", "author_text"), ("Made on", "created"), ("Cost", "cost_text"), ("File", "file_text"))


class Piece(NamedTuple):
    """A part of a text; `differs` is true if the other text does not have it."""

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One property of both pictures, empty where a picture has none."""

    name: str
    first: Sequence[Piece]
    second: Sequence[Piece]
    differs: bool
    is_prompt: bool = False


def compare_pictures(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[ComparedRow]:
    """Return the rows for two pictures as `present_picture` has them: first what was asked for, then what came of it.

    The time, the cost and the file differ for any two pictures, and are not marked.
    """
    rows = [_texts(name, first[key] or "", second[key] or "") for name, key in _PROMPTS]
    rows.append(_values("Model", first["model"] or "", second["model"] or ""))
    options = [picture["parameters"] for picture in (first, second)]
    rows += [
        _values(name, *(_shown(given.get(name)) for given in options))
        for name in dict.fromkeys((*options[0], *options[1]))
    ]
    rows.append(_values("Pixels", *(_size(picture) for picture in (first, second))))
    facts = [{**picture, **_more(picture)} for picture in (first, second)]
    rows += [
        ComparedRow(name, [Piece(facts[0][key], False)], [Piece(facts[1][key], False)], False) for name, key in _FACTS
    ]
    return [row for row in rows if any(piece.text for piece in (*row.first, *row.second))]


def mark_words(first: str, second: str) -> tuple[list[Piece], list[Piece]]:
    """Return two texts in pieces, with the words marked that the other does not have at that place.

    Long texts, and those with little in common, are one piece each.
    """
    whole = [Piece(first, False)], [Piece(second, False)]
    words = [_WORDS.findall(text) for text in (first, second)]
    if max(map(len, words)) > _MOST_WORDS:
        return whole
    bare = [[word.strip() for word in text] for text in words]
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    matcher: SequenceMatcher[str] = SequenceMatcher(None, bare[0], bare[1], autojunk=False)
    if matcher.ratio() < _LEAST_ALIKE:
        return whole
    for kind, *ends in matcher.get_opcodes():
        for side, (start, end) in enumerate((ends[:2], ends[2:])):
            text = "".join(words[side][start:end])
            marked = "" if kind == "equal" else text.rstrip()
            found = (Piece(marked, True), Piece(text[len(marked) :], False))
            pieces[side].extend(piece for piece in found if piece.text)
    return pieces


def _texts(name: str, first: str, second: str) -> ComparedRow:
    return ComparedRow(name, *mark_words(first, second), differs=first != second, is_prompt=True)


def _values(name: str, first: str, second: str) -> ComparedRow:
    return ComparedRow(name, [Piece(first, False)], [Piece(second, False)], first != second)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _size(picture: Mapping[str, Any]) -> str:
    return f"{picture['width']} × {picture['height']}" if picture["width"] else ""


def _more(picture: Mapping[str, Any]) -> dict[str, str]:
    return {
        "author_text": picture["author"] or "somebody without a login",
        "file_text": ", ".join(text for text in (picture["format"], picture["size_text"]) if text),
    }
