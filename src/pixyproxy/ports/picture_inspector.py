"""The port that tells what picture some bytes are."""

from abc import ABC, abstractmethod

from pixyproxy.domain.image import Picture


class PictureInspector(ABC):
    """Finds media type and size of a picture from its bytes."""

    @abstractmethod
    async def inspect(self, data: bytes) -> Picture:
        """What the bytes are; reads headers only and never decodes the pixels.

        Raises DataValidationError if they are no picture of a known format, or one with absurd dimensions.
        """
