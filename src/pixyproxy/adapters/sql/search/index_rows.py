"""Index rows: the tags, search terms and sources by which an image is found."""

from collections.abc import Sequence
from functools import lru_cache

from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.search_terms import index_terms

_INSERT_TAG = "INSERT INTO image_tags (image_id, position, tag) VALUES (:image_id, :position, :tag)"
_INSERT_SOURCE = "INSERT INTO image_sources (image_id, position, source_guid) VALUES (:image_id, :position, :guid)"
_INSERT_TERM = "INSERT INTO image_terms (term, image_id) VALUES (:term, :image_id)"


def insert_tags(session: Session, images: Sequence[tuple[int, tuple[str, ...]]]) -> None:
    """Insert the tags of images that have none, given by id, in their order."""
    session.insert_many(
        _INSERT_TAG,
        [
            {"image_id": image_id, "position": position, "tag": tag}
            for image_id, tags in images
            for position, tag in enumerate(tags)
        ],
    )


def insert_terms(session: Session, images: Sequence[tuple[int, str]]) -> None:
    """Insert the search terms of the prompts of images that have none, given by id."""
    # The index's order is faster, and two transactions lock its pages in the same order.
    rows = sorted((term, image_id) for image_id, prompt in images for term in _terms(prompt))
    session.insert_many(_INSERT_TERM, [{"term": term, "image_id": image_id} for term, image_id in rows])


def insert_sources(session: Session, images: Sequence[tuple[int, tuple[str, ...]]]) -> None:
    """Insert the sources of images that have none, given by id, in their order."""
    session.insert_many(
        _INSERT_SOURCE,
        [
            {"image_id": image_id, "position": position, "guid": guid}
            for image_id, guids in images
            for position, guid in enumerate(guids)
        ],
    )


# The images of a batch share one prompt, and splitting a long one takes as long as inserting its terms.
@lru_cache(maxsize=1)
def _terms(prompt: str) -> tuple[str, ...]:
    return tuple(index_terms(prompt))
