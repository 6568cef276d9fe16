"""Postings: the rows by which searches find an image, each a prefixed term for an audience.

The prefix tells the words of a prompt from tags, edit sources, the time of creation, and the mark of a straggler.
"""

from collections.abc import Sequence
from functools import lru_cache

from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.search.audiences import audience_of
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Image
from pixyproxy.domain.search_terms import index_terms

WORD, TAG, SOURCE, TIME = "w", "t", "s", "d"
STRAGGLER = "x"
"""The whole term of an image that is out of order; see `id_range`."""

_INSERT = "INSERT INTO image_postings (audience, term, image_id) VALUES (:audience, :term, :image_id)"
_MOVE = "UPDATE image_postings SET audience = :audience WHERE image_id = :image_id"
_DELETE_TAGS = f"DELETE FROM image_postings WHERE image_id = :image_id AND term >= '{TAG}' AND term < 'u'"


def insert_postings(session: Session, images: Sequence[Image]) -> None:
    """Insert the postings of images that have none."""
    _insert(session, [(audience_of(image), term, image.id) for image in images for term in _terms(image)])


def insert_stragglers(session: Session, images: Sequence[Image]) -> None:
    """Mark images as out of order."""
    _insert(session, [(audience_of(image), STRAGGLER, image.id) for image in images])


def change_postings(session: Session, before: Image, after: Image) -> None:
    """Move the postings of an image to its new audience, and replace those of its tags."""
    if audience_of(after) != audience_of(before):
        session.change_later(_MOVE, {"audience": audience_of(after), "image_id": after.id})
    if set(after.request.tags) != set(before.request.tags):
        session.change_later(_DELETE_TAGS, {"image_id": after.id})
        _insert(session, [(audience_of(after), TAG + tag, after.id) for tag in set(after.request.tags)])


def _insert(session: Session, rows: Sequence[tuple[int, str, int]]) -> None:
    # The index's order is faster, and two transactions lock its pages in the same order.
    ordered = sorted(rows)
    session.insert_many(
        _INSERT, [{"audience": audience, "term": term, "image_id": image_id} for audience, term, image_id in ordered]
    )


def _terms(image: Image) -> set[str]:
    request = image.request
    return {
        *_words(request.prompt),
        *(TAG + tag for tag in request.tags),
        *(SOURCE + guid for guid in request.derived_from),
        TIME + to_time(request.created_at),
    }


# The images of a batch share one prompt, and splitting a long one takes as long as inserting its terms.
@lru_cache(maxsize=1)
def _words(prompt: str) -> tuple[str, ...]:
    return tuple(WORD + term for term in index_terms(prompt))
