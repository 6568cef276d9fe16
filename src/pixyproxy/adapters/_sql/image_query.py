"""What an `ImageQuery` asks of the tables: where the ids of matching images are listed, and how one id is checked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters._sql.listing import Key, Listing, check, checked, listed, listed_in_range
from pixyproxy.adapters._sql.mapping import guid_key, to_time
from pixyproxy.adapters._sql.session import Session
from pixyproxy.adapters._sql.words import IS_PREFIXED, Word
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery

MOST_POINTS = 4
"""A word of up to so many terms is looked up by each of them, close to its neighbours; of more, by the image."""

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_EXACT = "LENGTH({column}) = LENGTH(:{name})"


class Criterion(NamedTuple):
    """Something that a match must be: a check, and where all that pass it are listed, if they are."""

    check: str
    listing: Listing | None = None


class Search(NamedTuple):
    """What a match must be, at least one of it with a listing."""

    criteria: tuple[Criterion, ...]
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
    parts = [_words(session, words), _tags(session, query), _source(session, query), _scope_of(session, query)]
    parts.append(_row(session, query, few_dates=few_dates))
    return Search(
        tuple(criterion for part in parts for criterion in part.criteria),
        {name: value for part in parts for name, value in part.parameters.items()},
    )


def _words(session: Session, words: Sequence[Word]) -> Search:
    criteria = []
    parameters: dict[str, Any] = {}
    for word in words:
        names = [f"{word.name}_{i}" for i in range(len(word.terms))]
        parameters |= word.parameters | dict(zip(names, word.terms, strict=True))
        keys = [Key("image_terms", "PRIMARY", (("term", name),)) for name in names]
        is_prefixed = IS_PREFIXED.format(name=word.name)
        if 0 < len(keys) <= MOST_POINTS:
            tested = "".join(["(", " OR ".join(check(session, key) for key in keys), ")"])
        else:
            tested = checked("image_terms" + session.by_index("image_terms_image"), "image_id", is_prefixed)
        listing = None
        if word.is_small:
            rows = "image_terms" + session.by_index("PRIMARY")
            listing = listed_in_range(rows, "image_id", is_prefixed, word.name)
        elif keys:
            listing = Listing(tuple(listed(session, key) for key in keys), word.name)
        criteria.append(Criterion(tested, listing))
    return Search(tuple(criteria), parameters)


def _tags(session: Session, query: ImageQuery) -> Search:
    criteria = []
    for i in range(len(query.tags)):
        name = f"tag_{i}"
        key = Key("image_tags", "image_tags_tag", (("tag", name),), exactly=(_EXACT.format(column="tag", name=name),))
        criteria.append(Criterion(check(session, key), Listing((listed(session, key),), name)))
    return Search(tuple(criteria), {f"tag_{i}": tag for i, tag in enumerate(query.tags)})


def _source(session: Session, query: ImageQuery) -> Search:
    if query.derived_from is None:
        return Search((), {})
    key = Key("image_sources", "image_sources_source", (("source_guid", "source"),))
    criterion = Criterion(check(session, key), Listing((listed(session, key),), "source"))
    return Search((criterion,), {"source": guid_key(query.derived_from)})


def _scope_of(session: Session, query: ImageQuery) -> Search:
    tested = "".join(["(", " OR ".join(check(session, key) for key in scope_keys(query)), ")"])
    return Search((Criterion(tested, scope_listing(session, query)),), scope_parameters(query))


def _row(session: Session, query: ImageQuery, *, few_dates: bool) -> Search:
    """What is read from the row itself; the last to be checked, for rows are large."""
    criteria = []
    parameters: dict[str, Any] = {}

    def add(condition: str, listing: Listing | None, **values: Any) -> None:
        criteria.append(Criterion(checked("images" + session.by_index("PRIMARY"), "id", condition), listing))
        parameters.update(values)

    if query.guid is not None:
        add("guid = :guid", listed_in_range("images", "id", "guid = :guid", "guid"), guid=guid_key(query.guid))
    if has_dates(query):
        is_between, dated = between(query), None
        if few_dates:
            dated = listed_in_range("images" + session.by_index("images_created"), "id", is_between, "dates")
        add(is_between, dated, **date_parameters(query))
    if query.filename is not None:
        add("INSTR(filename_folded, :filename) > 0", None, filename=query.filename)
    return Search(tuple(criteria), parameters)


def _scope(visibility: Visibility, author: str | None) -> Key:
    columns = (("visibility", visibility.value), ("status", "status"))
    if author is None:
        return Key("images", "images_visible", columns, "id")
    exactly = _EXACT.format(column="author", name=author)
    return Key("images", "images_owned", (("author", author), *columns), "id", (exactly,))
