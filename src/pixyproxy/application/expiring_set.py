"""A set of values that are forgotten after a while."""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta

from pixyproxy.ports.clock import Clock


class ExpiringSet:
    """Values that were added within the last `length` of time, at most `limit` of them: the oldest make room."""

    def __init__(self, clock: Clock, length: timedelta, limit: int) -> None:
        self._clock = clock
        self._length = length
        self._limit = limit
        self._ends: OrderedDict[Hashable, datetime] = OrderedDict()

    def add(self, value: Hashable) -> None:
        """Add a value, anew if it is in the set already."""
        self._ends[value] = self._clock.now() + self._length
        self._ends.move_to_end(value)
        if len(self._ends) > self._limit:
            self._ends.popitem(last=False)

    def __contains__(self, value: Hashable) -> bool:
        end = self._ends.get(value)
        return end is not None and self._clock.now() < end
