"""Audiences: the people who may find an image, by which the index of searches is divided.

A search reads only the audiences of its viewer, so its cost tells nothing about other images. The condition on the row
of an image still decides about access: an audience may be too wide, never too narrow. So all staff are one audience:
the roster, which changes, says whose hidden images a teacher sees.
"""

import hashlib

from pixyproxy.domain.access import Staff, username_of
from pixyproxy.domain.image import Image, Status, Visibility
from pixyproxy.domain.query import ImageQuery

PUBLIC = 0
"""Everybody, for images that are public and ready."""
NOBODY = 1
"""No viewer, for images of anonymous callers that are not ready."""
STAFF = 2
"""Teachers and administrators, for images that are hidden and ready."""


def audiences_of_image(image: Image) -> tuple[int, ...]:
    """Return the audiences that find an image, at least one."""
    request = image.request
    is_public = image.status is Status.READY and request.visibility is Visibility.PUBLIC
    if is_public and not request.hidden:
        return (PUBLIC,)
    own = () if request.author is None else (_user(request.author),)
    return (STAFF, *own) if is_public else own or (NOBODY,)


def audiences_of(query: ImageQuery) -> dict[str, int]:
    """Return the audiences that a query reads, by the names of their parameters."""
    audiences = {"audience_public": PUBLIC}
    username = username_of(query.viewer)
    if username is not None and query.author in {None, username}:
        audiences["audience_own"] = _user(username)
    if isinstance(query.viewer, Staff):
        audiences["audience_staff"] = STAFF
    return audiences


def _user(name: str) -> int:
    """Return 64 bits of a hash: names are too long for the beginning of an index."""
    return int.from_bytes(hashlib.sha256(f"user:{name}".encode()).digest()[:8], "big", signed=True)
