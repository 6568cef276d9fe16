"""Common base of the ports that hold connections, threads or files."""

from abc import ABC, abstractmethod


class Resource(ABC):
    """Something that is opened before use and closed after it."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready for use; the constructor connects to nothing. A closed resource can be opened again."""

    @abstractmethod
    async def close(self) -> None:
        """Release every connection, thread and file; does nothing if already closed or never opened."""
