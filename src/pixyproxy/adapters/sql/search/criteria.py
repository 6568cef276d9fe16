"""Criteria: each filter of an `ImageQuery` as a posting list, a check of one image, or a condition on its row."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import guid_key, to_time
from pixyproxy.adapters.sql.search.posting_list import Key, PostingList, check_keys, posting_list, sorted_part
from pixyproxy.adapters.sql.search.prefix_terms import PrefixTerm
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_SAME_LENGTH = "LENGTH({column}) = LENGTH(:{parameter})"
# An image may name a source several times; its posting list has it once.
_FIRST_POSITION = """(SELECT 1 FROM image_sources AS same WHERE same.image_id = image_sources.image_id
    AND same.position < image_sources.position AND same.source_guid = image_sources.source_guid LIMIT 1) IS NULL"""


class Criterion(NamedTuple):
    """One filter: the posting list of the images that meet it, and the check that one image does.

    Without a posting list it can only be checked. Without a check the condition on the row covers it.
    """

    postings: PostingList | None
    check: str | None


class Criteria(NamedTuple):
    """Everything that a match must meet: the filters that have an index, the scope, and a condition on the row.

    `scope` is the posting list of all images of the query's author, status and visibility that the viewer may see.
    `row` is the condition on the image's own row; it covers the scope and every filter without an index.
    """

    filters: tuple[Criterion, ...]
    scope: PostingList
    row: str
    parameters: Mapping[str, Any]


def is_plain(query: ImageQuery) -> bool:
    """Return whether the scope is all that the query filters by."""
    # An empty text is a filter too; it matches nothing.
    others = (query.guid, query.derived_from, query.filename)
    return not (query.terms or query.tags or has_times(query)) and all(other is None for other in others)


def has_times(query: ImageQuery) -> bool:
    """Return whether the query bounds the time of creation."""
    return query.created_after is not None or query.created_before is not None


def build(session: Session, query: ImageQuery, terms: Sequence[PrefixTerm]) -> Criteria:
    """Return the criteria of a query whose prefix terms have been probed."""
    scope = _scope_keys(query)
    row = ["".join(["(", " OR ".join(f"({key.condition})" for key in scope), ")"])]
    parameters = _scope_parameters(query)
    filters = []
    for term in terms:
        filters.append(Criterion(term.postings, term.check))
        parameters |= term.parameters
    for i, tag in enumerate(query.tags):
        exactly = (_SAME_LENGTH.format(column="tag", parameter=f"tag_{i}"),)
        key = Key("image_tags", "image_tags_tag", (("tag", f"tag_{i}"),), exactly=exactly)
        filters.append(_indexed(session, f"tag_{i}", [key]))
        parameters[f"tag_{i}"] = tag
    if query.derived_from is not None:
        columns = (("source_guid", "source"),)
        key = Key("image_sources", "image_sources_source", columns, exactly=(_FIRST_POSITION,))
        filters.append(_indexed(session, "source", [key]))
        parameters["source"] = guid_key(query.derived_from)
    if query.guid is not None:
        row.append("guid = :guid")
        filters.append(Criterion(PostingList("guid", (sorted_part("images", "id", row[-1]),)), None))
        parameters["guid"] = guid_key(query.guid)
    if query.created_after is not None:
        row.append("created_at > :created_after")
        parameters["created_after"] = to_time(query.created_after)
    if query.created_before is not None:
        row.append("created_at < :created_before")
        parameters["created_before"] = to_time(query.created_before)
    if query.filename is not None:
        row.append("INSTR(filename_folded, :filename) > 0")
        parameters["filename"] = query.filename
    return Criteria(tuple(filters), posting_list(session, "scope", scope), " AND ".join(row), parameters)


def _indexed(session: Session, name: str, keys: Sequence[Key]) -> Criterion:
    return Criterion(posting_list(session, name, keys), check_keys(session, keys))


def _scope_keys(query: ImageQuery) -> list[Key]:
    """Return at least one key; together they hold each image in scope once."""
    is_own = query.author is not None and query.author == query.viewer
    own_only = is_own or query.status is not Status.READY
    keys = []
    if not own_only and query.visibility is not Visibility.PRIVATE:
        keys.append(_scope_key(Visibility.PUBLIC, None if query.author is None else "author"))
    # The viewer is NULL, and no image matches, for an anonymous caller or a query for another author.
    if own_only or query.visibility is Visibility.PRIVATE or query.viewer is not None:
        if own_only and query.visibility is not Visibility.PRIVATE:
            keys.append(_scope_key(Visibility.PUBLIC, "viewer"))
        if query.visibility is not Visibility.PUBLIC:
            keys.append(_scope_key(Visibility.PRIVATE, "viewer"))
    return keys


def _scope_key(visibility: Visibility, author: str | None) -> Key:
    columns = (("visibility", visibility.value), ("status", "status"))
    if author is None:
        return Key("images", "images_visible", columns, "id")
    same = _SAME_LENGTH.format(column="author", parameter=author)
    return Key("images", "images_owned", (("author", author), *columns), "id", (same,))


def _scope_parameters(query: ImageQuery) -> dict[str, Any]:
    viewer = query.viewer if query.author in {None, query.viewer} else None
    visibilities = {visibility.value: visibility.value for visibility in Visibility}
    return {"viewer": viewer, "author": query.author, "status": query.status.value} | visibilities
