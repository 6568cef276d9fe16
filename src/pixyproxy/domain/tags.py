"""The normal form of tags, and its rules."""

import unicodedata
from collections.abc import Iterable

MAX_TAGS = 32
MAX_TAG_LENGTH = 64


def normalise_tag(tag: str) -> str:
    """Return the tag trimmed, lower-cased and in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", tag.strip()).lower())


def normalise_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return all tags normalised, without duplicates, in the given order."""
    return tuple(dict.fromkeys(normalise_tag(tag) for tag in tags))


def tag_problem(tag: str) -> str | None:
    """Return the rule that a normalised tag breaks, or None."""
    if not tag:
        return "must not be blank"
    if len(tag) > MAX_TAG_LENGTH:
        return f"must be at most {MAX_TAG_LENGTH} characters long"
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in tag):
        return "must not contain control characters or lone surrogates"
    return None
