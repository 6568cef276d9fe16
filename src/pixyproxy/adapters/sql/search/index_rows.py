"""Index rows: the tags, search terms and sources by which an image is found."""

from functools import lru_cache

from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.search_terms import index_terms

_INSERT_TAG = "INSERT INTO image_tags (image_id, position, tag) VALUES (:image_id, :position, :tag)"
_INSERT_SOURCE = "INSERT INTO image_sources (image_id, position, source_guid) VALUES (:image_id, :position, :guid)"
_INSERT_TERM = "INSERT INTO image_terms (term, image_id) VALUES (:term, :image_id)"


def insert_tags(session: Session, image_id: int, tags: tuple[str, ...]) -> None:
    """Insert the tags of an image that has none, in their order."""
    rows = [{"image_id": image_id, "position": position, "tag": tag} for position, tag in enumerate(tags)]
    session.insert_many(_INSERT_TAG, rows)


def insert_terms(session: Session, image_id: int, prompt: str) -> None:
    """Insert the search terms of the prompt of an image that has none."""
    session.insert_many(_INSERT_TERM, [{"term": term, "image_id": image_id} for term in _terms(prompt)])


def insert_sources(session: Session, image_id: int, guids: tuple[str, ...]) -> None:
    """Insert the sources of an image that has none, in their order."""
    rows = [{"image_id": image_id, "position": position, "guid": guid} for position, guid in enumerate(guids)]
    session.insert_many(_INSERT_SOURCE, rows)


# The images of a batch share one prompt, and splitting a long one takes as long as inserting its terms.
@lru_cache(maxsize=1)
def _terms(prompt: str) -> tuple[str, ...]:
    # The index's order is faster, and two transactions lock its pages in the same order.
    return tuple(sorted(index_terms(prompt)))
