"""Criteria: each filter of an `ImageQuery` as a posting list, a check of one image, or a condition on its row."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.mapping import HIDDEN, guid_key, to_time
from pixyproxy.adapters.sql.search.hidden import seen_by, staff_parameters
from pixyproxy.adapters.sql.search.posting_list import (
    Key,
    PostingList,
    check_terms,
    posting_list,
    sorted_part,
    term_postings,
)
from pixyproxy.adapters.sql.search.postings import SOURCE, STRAGGLER, TAG
from pixyproxy.adapters.sql.search.prefix_terms import PrefixTerm
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.access import Staff, Viewer, username_of
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_CLASS = "staff_class"
_SAME_LENGTH = "LENGTH({column}) = LENGTH(:{parameter})"


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


class _ScopePart(NamedTuple):
    """A part of the scope: the key of its images, and the condition on the row of each."""

    key: Key
    condition: str


def is_plain(query: ImageQuery) -> bool:
    """Return whether the scope is all that the query filters by, and holds nothing else.

    The scope of a teacher holds hidden images of other classes too.
    """
    if isinstance(query.viewer, Staff) and not query.viewer.is_admin:
        return False
    # An empty text is a filter too; it matches nothing.
    others = (query.guid, query.derived_from, query.filename, query.model)
    return not (query.terms or query.tags or has_times(query)) and all(other is None for other in others)


def has_times(query: ImageQuery) -> bool:
    """Return whether the query bounds the time of creation."""
    return query.created_after is not None or query.created_before is not None


def build(session: Session, query: ImageQuery, audiences: Mapping[str, int], terms: Sequence[PrefixTerm]) -> Criteria:
    """Return the criteria of a query whose prefix terms have been probed."""
    scope = _scope(query)
    row = ["".join(["(", " OR ".join(f"({part.condition})" for part in scope), ")"])]
    parameters = {**_scope_parameters(query), **audiences, "straggler": STRAGGLER}
    filters = []
    for term in terms:
        filters.append(Criterion(term.postings, term.check))
        parameters |= term.parameters
    exact = [TAG + tag for tag in query.tags]
    if query.derived_from is not None:
        exact.append(SOURCE + query.derived_from)
    for i, text in enumerate(exact):
        name = f"exact_{i}"
        parameters[name] = text
        postings = term_postings(session, name, audiences, name)
        filters.append(Criterion(postings, check_terms(session, audiences, [name])))
    if query.guid is not None:
        row.append("guid = :guid")
        filters.append(Criterion(_with_guid(session, query.viewer), None))
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
    if query.model is not None:
        row.append("model = :model AND " + _SAME_LENGTH.format(column="model", parameter="model"))
        parameters["model"] = query.model
    keys = [part.key for part in scope]
    return Criteria(tuple(filters), posting_list(session, "scope", keys), " AND ".join(row), parameters)


def _with_guid(session: Session, viewer: Viewer) -> PostingList:
    """Return the posting list of the image with the GUID, which nobody reads who may not see it."""
    images = f"images{session.by_index('images_access')} WHERE guid = :guid AND visibility"
    readers = ["= :public", "= :private AND author = :viewer", "= :hidden AND author = :viewer"]
    if isinstance(viewer, Staff):
        readers.append(" AND ".join(("= :hidden", *seen_by(viewer, _CLASS))))
    return PostingList("guid", tuple(sorted_part(f"{images} {reader}", "id") for reader in readers))


def _scope(query: ImageQuery) -> list[_ScopePart]:
    """Return at least one part; together they hold each image in scope."""
    is_own = query.author is not None and query.author == username_of(query.viewer)
    own_only = is_own or query.status is not Status.READY
    parts = []
    if not own_only and query.visibility is not Visibility.PRIVATE:
        author = None if query.author is None else "author"
        parts.append(_scope_part(Visibility.PUBLIC, author))
        if isinstance(query.viewer, Staff):
            parts.append(_scope_part(HIDDEN, author, seen_by(query.viewer, _CLASS)))
    # The viewer is NULL, and no image matches, for an anonymous caller or a query for another author.
    if own_only or query.visibility is Visibility.PRIVATE or query.viewer is not None:
        if query.visibility is not Visibility.PRIVATE:
            parts.append(_scope_part(HIDDEN, "viewer"))
            if own_only:
                parts.append(_scope_part(Visibility.PUBLIC, "viewer"))
        if query.visibility is not Visibility.PUBLIC:
            parts.append(_scope_part(Visibility.PRIVATE, "viewer"))
    return parts


def _scope_part(visibility: str, author: str | None, conditions: Sequence[str] = ()) -> _ScopePart:
    """Return the part of the images with this visibility and author, which name parameters, and further conditions."""
    columns = (("visibility", visibility), ("status", "status"))
    if author is None:
        key = Key("images", "images_visible", columns, "id")
    else:
        same = _SAME_LENGTH.format(column="author", parameter=author)
        key = Key("images", "images_owned", (("author", author), *columns), "id", (same,))
    return _ScopePart(key, " AND ".join((key.condition, *conditions)))


def _scope_parameters(query: ImageQuery) -> dict[str, Any]:
    username = username_of(query.viewer)
    return {
        "viewer": username if query.author in {None, username} else None,
        "author": query.author,
        "status": query.status.value,
        **{visibility: visibility for visibility in (*map(str, Visibility), HIDDEN)},
        **staff_parameters(query.viewer, _CLASS),
    }
