"""What an `ImageQuery` asks of the tables: where the ids of matching images are listed, and how one id is checked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import guid_key, to_time
from pixyproxy.adapters.sql.search.posting_list import (
    Key,
    Listing,
    Window,
    check,
    checked,
    listed,
    listed_among_all,
    listed_in_range,
    listed_under,
)
from pixyproxy.adapters.sql.search.prefix_terms import GOES_ON, IS_PREFIXED, Word
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery

_MOST_POINTS = 4
"""A word of up to so many terms is looked up by each of them, close to its neighbours; of more, by the image."""

_MOST_IN_WINDOW = 100
"""The rows of up to so many terms are read under each of them in a window; of more, all together."""
_SAMPLED = 2
"""So many images in a row are read as fast as one of a list is looked up."""
_FEW_ROWS = 100
"""So few are all read without more ado."""
_MANY_ROWS = 16_000
"""So many are expected where they have not been counted: a window that is too narrow costs little."""

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_EXACT = "LENGTH({column}) = LENGTH(:{name})"


class Criterion(NamedTuple):
    """Something that a match must be: where all that are so are listed, and how one of them is told.

    `check` asks an index about a candidate; what is left to the row has none. `sample` lists those among the newest of
    all images, where nothing better is known yet.
    """

    check: str | None
    listing: Listing | None = None
    sample: Listing | None = None


class Search(NamedTuple):
    """What a match must be, at least one of it with a listing, and the condition on its row.

    The row is what the viewer may see and meets whatever has no check. `scope` says the former by an index.
    """

    criteria: tuple[Criterion, ...]
    scope: Criterion
    row: str
    parameters: Mapping[str, Any]


def scope_keys(query: ImageQuery) -> list[Key]:
    """What the viewer may see of what is asked for; no image is in two of them, and there is at least one."""
    is_own = query.author is not None and query.author == query.viewer
    own_only = is_own or query.status is not Status.READY
    found = []
    if not own_only and query.visibility is not Visibility.PRIVATE:
        found.append(_scope(Visibility.PUBLIC, None if query.author is None else "author"))
    # Where there is no viewer, or one who is not the author asked for, these are of nobody.
    if own_only or query.visibility is Visibility.PRIVATE or query.viewer is not None:
        if own_only and query.visibility is not Visibility.PRIVATE:
            found.append(_scope(Visibility.PUBLIC, "viewer"))
        if query.visibility is not Visibility.PUBLIC:
            found.append(_scope(Visibility.PRIVATE, "viewer"))
    return found


def scope_listing(session: Session, query: ImageQuery) -> Listing:
    """The list of all that the viewer may see of what is asked for."""
    return Listing(tuple(listed(session, key) for key in scope_keys(query)), "scope")


def scope_parameters(query: ImageQuery) -> dict[str, Any]:
    """The parameters of the scopes."""
    viewer = query.viewer if query.author in {None, query.viewer} else None
    visibilities = {visibility.value: visibility.value for visibility in Visibility}
    return {"viewer": viewer, "author": query.author, "status": query.status.value} | visibilities


def is_wide(query: ImageQuery) -> bool:
    """Whether the viewer may see nearly all images of those asked for, as far as can be told without looking."""
    return any(key.name == "images_visible" for key in scope_keys(query))


def is_led_by_word(query: ImageQuery) -> bool:
    """Whether nothing but one word is likely to have a listing shorter than that of all images."""
    led_otherwise = query.tags or query.guid is not None or query.derived_from is not None
    return len(query.terms) == 1 and not led_otherwise and is_wide(query)


def is_plain(query: ImageQuery) -> bool:
    """Whether the scopes say all that is asked for."""
    return not (
        query.terms
        or query.tags
        or query.guid is not None
        or query.derived_from is not None
        or query.filename is not None
        or has_dates(query)
    )


def has_dates(query: ImageQuery) -> bool:
    """Whether the query bounds the time."""
    return query.created_after is not None or query.created_before is not None


def between(query: ImageQuery) -> str:
    """The condition that the time is the one asked for; only for a query that bounds it."""
    after = [] if query.created_after is None else ["created_at > :created_after"]
    before = [] if query.created_before is None else ["created_at < :created_before"]
    return " AND ".join(after + before)


def date_parameters(query: ImageQuery) -> dict[str, Any]:
    """The parameters of `between`."""
    bounds = {"created_after": query.created_after, "created_before": query.created_before}
    return {name: to_time(value) for name, value in bounds.items() if value is not None}


def build(session: Session, query: ImageQuery, words: Sequence[Word], *, few_dates: bool) -> Search:
    """All criteria of a query; `few_dates`: its times are those of few images, which may be sorted."""
    keys = scope_keys(query)
    scope = Criterion(_any(check(session, key) for key in keys), scope_listing(session, query))
    row = [_any("".join(["(", key.condition, ")"]) for key in keys)]
    criteria = [_word(session, word) for word in words]
    criteria += [_tag(session, f"tag_{i}") for i in range(len(query.tags))]
    parameters: dict[str, Any] = {f"tag_{i}": tag for i, tag in enumerate(query.tags)}
    for word in words:
        parameters |= word.parameters | dict(zip(_names(word), word.terms, strict=True))
    if query.derived_from is not None:
        key = Key("image_sources", "image_sources_source", (("source_guid", "source"),))
        criteria.append(Criterion(check(session, key), Listing((listed(session, key),), "source")))
        parameters["source"] = guid_key(query.derived_from)
    if query.guid is not None:
        row.append("guid = :guid")
        criteria.append(Criterion(None, Listing((listed_in_range("images", "id", row[-1], "guid"),), "guid")))
        parameters["guid"] = guid_key(query.guid)
    if has_dates(query):
        row.append(between(query))
        if few_dates:
            dated = listed_in_range("images" + session.by_index("images_created"), "id", row[-1], "dates")
            criteria.append(Criterion(None, Listing((dated,), "dates")))
    if query.filename is not None:
        row.append("INSTR(filename_folded, :filename) > 0")
        parameters["filename"] = query.filename
    parameters |= scope_parameters(query) | date_parameters(query)
    return Search(tuple(criteria), scope, " AND ".join(row), parameters)


def _any(conditions: Iterable[str]) -> str:
    return "".join(["(", " OR ".join(conditions), ")"])


def _names(word: Word) -> list[str]:
    """The names of the parameters for its terms."""
    return [f"{word.name}_{i}" for i in range(len(word.terms))]


def _word(session: Session, word: Word) -> Criterion:
    keys = [Key("image_terms", "PRIMARY", (("term", name),)) for name in _names(word)]
    if word.is_known and 0 < len(keys) <= _MOST_POINTS:
        tested = _any(check(session, key) for key in keys)
    else:
        is_prefixed = IS_PREFIXED.format(name=word.name)
        tested = checked("image_terms" + session.by_index("image_terms_image"), "image_id", is_prefixed)
    if not word.is_known:
        among_all = listed_among_all(session, IS_PREFIXED.format(name=word.name), word.name)
        sample = Listing((among_all,), word.name, Window(word.oldest, word.newest, _SAMPLED))
        return Criterion(tested, sample=sample if word.is_open else None)
    return Criterion(tested, _listing(session, word, keys))


def _listing(session: Session, word: Word, keys: Sequence[Key]) -> Listing:
    """The best listing of a word whose terms are known."""
    longer = [name for name, term in zip(_names(word), word.terms, strict=True) if term != word.prefix]
    is_long = word.longer is None or word.longer > _FEW_ROWS
    if is_long and not word.is_term and len(longer) <= _MOST_IN_WINDOW:
        spread = word.newest // (word.longer or _MANY_ROWS) + 1
        window = Window(word.oldest, word.newest, spread, is_counted=word.longer is None)
        part = listed_under(session, longer, word.name, is_counted=window.is_counted)
        return Listing((part,), word.name, window)
    if word.longer is None:
        return Listing(tuple(listed(session, key) for key in keys), word.name)
    parts = [listed(session, key) for key, term in zip(keys, word.terms, strict=True) if term == word.prefix]
    if longer:
        rows_of = "image_terms" + session.by_index("PRIMARY")
        parts.append(listed_in_range(rows_of, "image_id", GOES_ON.format(name=word.name), word.name))
    return Listing(tuple(parts), word.name)


def _tag(session: Session, name: str) -> Criterion:
    key = Key("image_tags", "image_tags_tag", (("tag", name),), exactly=(_EXACT.format(column="tag", name=name),))
    return Criterion(check(session, key), Listing((listed(session, key),), name))


def _scope(visibility: Visibility, author: str | None) -> Key:
    columns = (("visibility", visibility.value), ("status", "status"))
    if author is None:
        return Key("images", "images_visible", columns, "id")
    exactly = _EXACT.format(column="author", name=author)
    return Key("images", "images_owned", (("author", author), *columns), "id", (exactly,))
