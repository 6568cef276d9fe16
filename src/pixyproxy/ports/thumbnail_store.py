"""The port to the store of thumbnails."""

import re
from abc import abstractmethod
from collections.abc import AsyncIterator

from pixyproxy.ports.resource import Resource

_NAME = re.compile(r"[a-z0-9-]{1,100}\.[a-z]{1,10}")


class ThumbnailStore(Resource):
    """A store of thumbnails, each under the GUID of its image and a name.

    Thumbnails can be made anew at any time. A name has up to 100 lower-case letters, digits and hyphens, a dot, and
    up to 10 letters. Every method raises BlobStoreError when the store cannot be reached, and ValueError for a GUID
    that is not in canonical form or a name of another form.
    """

    @abstractmethod
    async def get(self, guid: str, name: str) -> bytes | None:
        """Return the thumbnail, or None if there is none."""

    @abstractmethod
    async def put(self, guid: str, name: str, data: bytes) -> None:
        """Store a thumbnail in place of an older one; a crash of the machine may lose it.

        A reader sees all of the old or all of the new, never a part, also after a crash. After an error the old one
        is there, and no partial file.

        Raises:
            BlobStoreFullError: there is room for pictures only.
            BlobStoreError: another failure to write.
        """

    @abstractmethod
    async def delete(self, guid: str) -> None:
        """Remove all thumbnails of an image; no error if there are none."""

    @abstractmethod
    def walk(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield each GUID that has thumbnails once, in no particular order, also those without a picture.

        `prefix`, the first two digits or nothing, limits the GUIDs. Thumbnails that are stored or removed meanwhile may
        be missed.
        """


def is_thumbnail_name(name: str) -> bool:
    """Return whether the text can name a thumbnail."""
    return _NAME.fullmatch(name) is not None


def require_thumbnail_name(name: str) -> None:
    """Raise ValueError unless the text can name a thumbnail."""
    if not is_thumbnail_name(name):
        raise ValueError("not the name of a thumbnail")
