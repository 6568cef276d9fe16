"""What every port that holds connections, threads or files has in common: opening and closing."""

from abc import ABC, abstractmethod


class Resource(ABC):
    """Something that is opened once before use and closed once after it."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready for use; creating the object connects to nothing. Opening again after closing works."""

    @abstractmethod
    async def close(self) -> None:
        """Give back every connection, thread and file. Closing twice, or what was never opened, does nothing."""
