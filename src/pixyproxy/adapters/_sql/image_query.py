"""Turns an `ImageQuery` into SQL that answers alike on every server."""

from typing import Any

from pixyproxy.adapters._sql.mapping import SELECT_IMAGE, to_time
from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.query import ImageQuery

# The binary collation of MySQL ignores trailing spaces when it compares; lengths tell them apart.
_IS_VIEWER = "images.author = :viewer AND LENGTH(images.author) = LENGTH(:viewer)"
_IS_PUBLIC = "images.visibility = 'public'"
_HAS_TAG = """EXISTS (SELECT 1 FROM image_tags WHERE image_tags.image_id = images.id
    AND image_tags.tag = :tag_{i} AND LENGTH(image_tags.tag) = LENGTH(:tag_{i}))"""
# A range instead of LIKE: nothing to escape, and every server reads it from the index.
_HAS_TERM = """EXISTS (SELECT 1 FROM image_terms WHERE image_terms.image_id = images.id
    AND image_terms.term >= :term_{i} AND image_terms.term < :end_{i})"""
_LAST = "\U0010ffff"


def page_statement(query: ImageQuery) -> tuple[str, dict[str, Any]]:
    """The statement that reads one image more than the page holds, newest first, and its parameters."""
    filters, parameters = _filters(query)
    parameters |= {"viewer": query.viewer, "most": query.limit + 1}
    end = "ORDER BY images.id DESC LIMIT :most"
    pages = [
        " ".join(["SELECT images.id FROM images WHERE", " AND ".join([scope, *filters]), end])
        for scope in _scopes(query)
    ]
    if len(pages) > 1:
        # Each part walks an index of its own in order and stops early, which a condition with OR would not.
        parts = [" ".join(["SELECT images.id FROM (", page, ") AS images"]) for page in pages]
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
        add("images.guid = :guid AND LENGTH(images.guid) = LENGTH(:guid)", guid=query.guid)
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
    for i, tag in enumerate(query.tags):
        add(_HAS_TAG.format(i=i), **{f"tag_{i}": tag})
    for i, term in enumerate(query.terms):
        add(_HAS_TERM.format(i=i), **{f"term_{i}": term, f"end_{i}": term + _LAST})
    return conditions, parameters
