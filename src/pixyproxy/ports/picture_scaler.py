"""The port that makes small pictures from large ones."""

from abc import abstractmethod

from pixyproxy.ports.resource import Resource

MAX_PIXELS = 50_000_000
"""Pictures with more pixels than this are not decoded."""
MAX_PLACEHOLDER = 500
"""A placeholder has fewer characters than this."""


class PictureScaler(Resource):
    """Decodes pictures (PNG, JPEG, WebP, GIF, and AVIF where it can) and encodes them smaller.

    Of an animated picture it is the first frame. A picture that says how it is to be turned is turned so. What else a
    file says of itself (place, camera, comments) does not come along. Work runs off the event loop, a bounded amount
    at a time; every method raises CapacityExceededError at once when too much is waiting, and DataValidationError for
    what is not decoded: another format, a drawing, more pixels than `MAX_PIXELS` by the header, before anything is
    decoded, damaged data, and what takes too long.
    """

    @abstractmethod
    async def scale(self, data: bytes, longest_side: int, media_type: str) -> bytes:
        """The picture with at most `longest_side` pixels a side, as `image/webp` or `image/jpeg`.

        It keeps its proportions and is never larger than the original. Transparency is kept in WebP; in JPEG it is
        laid on white. Raises ValueError for another media type or a side below 1.
        """

    @abstractmethod
    async def placeholder(self, data: bytes) -> str:
        """A likeness of a few pixels as a `data:` URI, shorter than `MAX_PLACEHOLDER` characters."""
