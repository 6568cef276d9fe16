"""Turns an `ImageQuery` into SQL that answers alike on every server, and quickly for rare words and common ones."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters._sql.mapping import SELECT_IMAGE, guid_key, to_time
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery

MAX_CANDIDATES = 2000
"""Up to so many images that have one word, tag or source, they alone are looked at; beyond, the list is walked."""

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_IS_VIEWER = "images.author = :viewer AND LENGTH(images.author) = LENGTH(:viewer)"
_IS_PUBLIC = "images.visibility = 'public'"
_IS_SOURCE = "source_guid = :source"
_IS_TAG = "tag = :tag_{i} AND LENGTH(tag) = LENGTH(:tag_{i})"
# A range instead of LIKE: nothing to escape, and every server reads it from the index.
_IS_TERM = "term >= :term_{i} AND term < :end_{i}"
_LAST = "\U0010ffff"


class Criterion(NamedTuple):
    """A word, a tag or a source that an image must have: where these are listed, and how to find this one there."""

    table: str
    condition: str
    parameters: dict[str, Any]


def criteria(query: ImageQuery) -> list[Criterion]:
    """The sources, tags and words of the query."""
    sources = []
    if query.derived_from is not None:
        sources.append(Criterion("image_sources", _IS_SOURCE, {"source": guid_key(query.derived_from)}))
    tags = [Criterion("image_tags", _IS_TAG.format(i=i), {f"tag_{i}": tag}) for i, tag in enumerate(query.tags)]
    terms = [
        Criterion("image_terms", _IS_TERM.format(i=i), {f"term_{i}": term, f"end_{i}": term + _LAST})
        for i, term in enumerate(query.terms)
    ]
    return sources + tags + terms


def counts_statement(wanted: Sequence[Criterion]) -> tuple[str, dict[str, Any]]:
    """The statement that tells, by position, how often each criterion occurs, counting no further than need be."""
    counts = [
        " ".join(
            ["SELECT", str(i), ", COUNT(*) FROM (SELECT 1 FROM", table, "WHERE", condition, f"LIMIT :bound) AS c{i}"]
        )
        for i, (table, condition, _) in enumerate(wanted)
    ]
    return " UNION ALL ".join(counts), {"bound": MAX_CANDIDATES + 1} | _all_parameters(wanted)


def candidates_statement(criterion: Criterion) -> tuple[str, dict[str, Any]]:
    """The statement that reads the ids of all images that meet a criterion."""
    table, condition, parameters = criterion
    return " ".join(["SELECT DISTINCT image_id FROM", table, "WHERE", condition]), parameters


def page_statement(
    query: ImageQuery, wanted: Sequence[Criterion], candidates: Sequence[int] | None
) -> tuple[str, dict[str, Any]]:
    """The statement that reads one image more than the page holds, newest first, out of the candidates if given."""
    filters, parameters = _filters(query)
    parameters |= {"viewer": query.viewer, "most": query.limit + 1} | _all_parameters(wanted)
    if candidates is not None:
        filters.append(f"images.id IN ({', '.join(map(str, candidates)) or 'NULL'})")
    # With LIMIT a server can only look each one up: turned into joins, dozens of words take it seconds to plan.
    filters += [
        " ".join(["(SELECT 1 FROM", table, "WHERE image_id = images.id AND", condition, "LIMIT 1) = 1"])
        for table, condition, _ in wanted
    ]
    end = "ORDER BY images.id DESC LIMIT :most"
    pages = [
        " ".join(["SELECT images.id FROM images WHERE", " AND ".join([scope, *filters]), end])
        for scope in _scopes(query)
    ]
    if len(pages) > 1:
        # Each part walks an index of its own in order and stops early, which a condition with OR would not.
        parts = [" ".join(["SELECT id FROM (", page, f") AS part_{i}"]) for i, page in enumerate(pages)]
        pages = [" ".join([" UNION ALL ".join(parts), "ORDER BY id DESC LIMIT :most"])]
    join = f"JOIN ({pages[0]}) AS page ON page.id = images.id"
    return " ".join([SELECT_IMAGE, join, "ORDER BY images.id DESC"]), parameters


def _scopes(query: ImageQuery) -> list[str]:
    """What the viewer may see, as conditions that exclude each other."""
    own_only = query.status is not Status.READY or query.visibility is Visibility.PRIVATE
    if own_only or (query.viewer is not None and query.author == query.viewer):
        return [_IS_VIEWER]
    if query.viewer is None or query.visibility is Visibility.PUBLIC or query.author is not None:
        return [_IS_PUBLIC]
    return [_IS_PUBLIC, f"{_IS_VIEWER} AND images.visibility = 'private'"]


def _filters(query: ImageQuery) -> tuple[list[str], dict[str, Any]]:
    parameters: dict[str, Any] = {"status": query.status.value}
    conditions = ["images.status = :status"]

    def add(condition: str, **values: Any) -> None:
        conditions.append(condition)
        parameters.update(values)

    if query.before_id is not None:
        add("images.id < :before_id", before_id=query.before_id)
    if query.guid is not None:
        add("images.guid = :guid", guid=guid_key(query.guid))
    if query.author is not None:
        add("images.author = :author AND LENGTH(images.author) = LENGTH(:author)", author=query.author)
    if query.visibility is not None:
        add("images.visibility = :visibility", visibility=query.visibility.value)
    if query.created_after is not None:
        add("images.created_at > :created_after", created_after=to_time(query.created_after))
    if query.created_before is not None:
        add("images.created_at < :created_before", created_before=to_time(query.created_before))
    if query.filename is not None:
        add("INSTR(images.filename_folded, :filename) > 0", filename=query.filename)
    return conditions, parameters


def _all_parameters(wanted: Sequence[Criterion]) -> dict[str, Any]:
    return {name: value for criterion in wanted for name, value in criterion.parameters.items()}
