"""The port to counters of events in moving windows of time."""

from abc import abstractmethod
from dataclasses import dataclass

from pixyproxy.ports.resource import Resource


@dataclass(frozen=True, slots=True)
class Window:
    """A bound on events: at most `limit` of the same kind and key within any `length_s` seconds."""

    kind: str
    limit: int
    length_s: int


class MovingWindows(Resource):
    """Counts events by kind of window and key: at no moment does the window behind it hold more than the limit.

    Calls that come together count one after the other, those of several processes too where they share the counters.
    Memory is bounded: of each kind some 20,000 keys or events are kept, and the oldest are forgotten first. No method
    raises an error because counters cannot be reached: then this process counts for itself.
    """

    @abstractmethod
    async def hit(self, window: Window, key: str, events: int = 1) -> bool:
        """Count events and return True; return False, and count nothing, if the window has no room for all of them."""

    @abstractmethod
    async def release(self, window: Window, key: str, events: int = 1) -> None:
        """Take back the newest events that were counted; fewer is no error."""

    @abstractmethod
    async def wait_s(self, window: Window, key: str, events: int = 1) -> float:
        """Return the seconds until the window has more room than now; 0 if it has room for so many events."""
