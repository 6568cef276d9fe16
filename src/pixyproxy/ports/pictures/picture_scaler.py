"""Port to the scaling of pictures."""

from abc import abstractmethod

from pixyproxy.ports.resource import Resource

MAX_PIXELS = 50_000_000
"""Pictures with more pixels are not decoded."""
MAX_PLACEHOLDER = 500
"""Upper bound (exclusive) of a placeholder's length in characters."""


class PictureScaler(Resource):
    """Scaler of pictures in PNG, JPEG, WebP, GIF, and AVIF if supported.

    It takes the first frame of an animation, applies the orientation that the picture declares, and drops all other
    metadata (place, camera, comments). Work runs outside the event loop, a bounded amount at a time.

    Every method raises CapacityExceededError at once if too many calls are waiting.
    Every method raises DataValidationError for another format, for an SVG, for more than `MAX_PIXELS` pixels according
    to the header (before decoding), for damaged data, and for a picture that takes too long.
    """

    @abstractmethod
    async def scale(self, data: bytes, longest_side: int, media_type: str) -> bytes:
        """Return the picture with at most `longest_side` pixels a side, as `image/webp` or `image/jpeg`.

        It keeps its proportions and is never enlarged. Transparency is kept in WebP and put on white in JPEG.

        Raises ValueError for another media type or a side below 1.
        """

    @abstractmethod
    async def placeholder(self, data: bytes) -> str:
        """Return a miniature of a few pixels as a `data:` URI of fewer than `MAX_PLACEHOLDER` characters."""
