"""Port to the recognition of pictures."""

from abc import ABC, abstractmethod

from pixyproxy.domain.image import Picture


class PictureInspector(ABC):
    """Reader of a picture's media type and size."""

    @abstractmethod
    async def inspect(self, data: bytes) -> Picture:
        """Return media type and size from the headers, without decoding pixels.

        Raises DataValidationError if the bytes are not a picture of a known format or its dimensions are absurd.
        """
