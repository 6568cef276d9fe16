"""The rows by which an image is found: its tags and its search terms."""

from pixyproxy.adapters._sql.session import Session
from pixyproxy.domain.text import index_terms

_INSERT_TAG = "INSERT INTO image_tags (image_id, position, tag) VALUES (:image_id, :position, :tag)"
_INSERT_TERM = "INSERT INTO image_terms (term, image_id) VALUES (:term, :image_id)"


def insert_tags(session: Session, image_id: int, tags: tuple[str, ...]) -> None:
    """Insert the tags of an image that has none, in their order."""
    rows = [{"image_id": image_id, "position": position, "tag": tag} for position, tag in enumerate(tags)]
    session.insert_many(_INSERT_TAG, rows)


def insert_terms(session: Session, image_id: int, prompt: str) -> None:
    """Insert the search terms of a prompt that has none."""
    # In the order of the index: faster, and two transactions lock its pages in the same order.
    terms = sorted(index_terms(prompt))
    session.insert_many(_INSERT_TERM, [{"term": term, "image_id": image_id} for term in terms])
