"""The form in which tags are kept."""

import unicodedata
from collections.abc import Iterable

MAX_TAGS = 32
MAX_TAG_LENGTH = 64


def normalise_tag(tag: str) -> str:
    """The tag trimmed, lower-cased and in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", tag.strip()).lower())


def normalise_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """All tags normalised, without doubles, in the order given."""
    return tuple(dict.fromkeys(normalise_tag(tag) for tag in tags))


def tag_problem(tag: str) -> str | None:
    """What is wrong with a normalised tag and what would be right; None if it is good."""
    if not tag:
        return "must not be blank"
    if len(tag) > MAX_TAG_LENGTH:
        return f"must be at most {MAX_TAG_LENGTH} characters long"
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in tag):
        return "must not contain control characters or lone surrogates"
    return None
