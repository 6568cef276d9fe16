"""Audiences: the people who may find an image, by which the index of searches is divided.

A search reads only the audiences of its viewer, so its cost tells nothing about other images. The condition on the row
of an image still decides about access: an audience may be too wide, never too narrow. The table has room for images
with several audiences, such as the staff of a class.
"""

import hashlib

from pixyproxy.domain.image import Image, Status, Visibility
from pixyproxy.domain.query import ImageQuery

PUBLIC = 0
"""Everybody, for images that are public and ready."""
NOBODY = 1
"""No viewer, for images of anonymous callers that are not ready."""


def audience_of(image: Image) -> int:
    """Return the audience that finds an image."""
    if image.status is Status.READY and image.request.visibility is Visibility.PUBLIC:
        return PUBLIC
    return NOBODY if image.request.author is None else _user(image.request.author)


def audiences_of(query: ImageQuery) -> dict[str, int]:
    """Return the audiences that a query reads, by the names of their parameters."""
    audiences = {"audience_public": PUBLIC}
    if query.viewer is not None and query.author in {None, query.viewer}:
        audiences["audience_own"] = _user(query.viewer)
    return audiences


def _user(name: str) -> int:
    """Return 64 bits of a hash: names are too long for the beginning of an index."""
    return int.from_bytes(hashlib.sha256(f"user:{name}".encode()).digest()[:8], "big", signed=True)
