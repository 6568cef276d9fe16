"""Port to the current time."""

from abc import ABC, abstractmethod
from datetime import datetime


class Clock(ABC):
    """Source of the current time."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the current time in UTC, aware, with microseconds. It does not block, so it is no coroutine."""
