"""Postings: the rows by which searches find an image, each a prefixed term for an audience.

The prefix tells the words of a prompt from tags, edit sources, the time of creation, and the mark of a straggler.
"""

from collections.abc import Sequence
from functools import lru_cache

from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.search.audiences import audiences_of_image
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.image import Image
from pixyproxy.domain.search_terms import index_terms

WORD, TAG, SOURCE, TIME = "w", "t", "s", "d"
STRAGGLER = "x"
"""The whole term of an image that is out of order; see `id_range`."""

_INSERT = "INSERT INTO image_postings (audience, term, image_id) VALUES (:audience, :term, :image_id)"
_MOVE = "UPDATE image_postings SET audience = :audience WHERE image_id = :image_id"
_COPY = """INSERT INTO image_postings (audience, term, image_id) SELECT :audience, term, image_id FROM image_postings
    WHERE image_id = :image_id AND audience = :source"""
_DELETE_COPY = "DELETE FROM image_postings WHERE image_id = :image_id AND audience = :audience"
_DELETE_TAGS = f"DELETE FROM image_postings WHERE image_id = :image_id AND term >= '{TAG}' AND term < 'u'"


def insert_postings(session: Session, images: Sequence[Image]) -> None:
    """Insert the postings of images that have none."""
    rows = [
        (audience, term, image.id)
        for image in images
        for term in _terms(image)
        for audience in audiences_of_image(image)
    ]
    _insert(session, rows)


def insert_stragglers(session: Session, images: Sequence[Image]) -> None:
    """Mark images as out of order."""
    _insert(session, [(audience, STRAGGLER, image.id) for image in images for audience in audiences_of_image(image)])


def change_postings(session: Session, before: Image, after: Image) -> None:
    """Move the postings of an image to its new audiences, and replace those of its tags."""
    audiences = audiences_of_image(after)
    _move(session, after.id, audiences_of_image(before), audiences)
    if set(after.request.tags) != set(before.request.tags):
        session.change_later(_DELETE_TAGS, {"image_id": after.id})
        rows = [(audience, TAG + tag, after.id) for tag in set(after.request.tags) for audience in audiences]
        _insert(session, rows)


def _move(session: Session, image_id: int, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Move all postings of an image, whatever they say."""
    if before == after:
        return
    kept, *copies = before
    for audience in copies:
        session.change_later(_DELETE_COPY, {"audience": audience, "image_id": image_id})
    if kept != after[0]:
        session.change_later(_MOVE, {"audience": after[0], "image_id": image_id})
    for audience in after[1:]:
        session.change_later(_COPY, {"audience": audience, "source": after[0], "image_id": image_id})


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
