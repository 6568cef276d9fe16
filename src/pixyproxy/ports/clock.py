"""The port to the time of day."""

from abc import ABC, abstractmethod
from datetime import datetime


class Clock(ABC):
    """Tells the time."""

    @abstractmethod
    def now(self) -> datetime:
        """The present, aware, in UTC, with microseconds. It does not block, so it is not a coroutine."""
