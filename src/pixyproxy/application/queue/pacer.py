"""The pace that the generator allows: so many pictures of a model within any minute."""

import asyncio
import hashlib
import math
from typing import NamedTuple

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.ports.moving_windows import MovingWindows, Window

WINDOW_S = 62
"""Seconds of the window: a minute, and the time that a call may take to reach the generator, which counts it then."""
_SLOW_S = 60.0
"""Seconds after a refusal during which a model is slow: every picture counts twice, half as many calls run."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0
"""Seconds to wait after a refusal that names no time, doubled with each that follows within `_SLOW_S`."""
_SHORTEST_PAUSE_S = 0.1
"""Seconds to wait after a refusal at least, whatever time it names."""
_SHORTEST_WAIT_S = 0.01


class Room(NamedTuple):
    """The answer to a call that wants to start: the events that it took of the window, or the seconds to wait."""

    events: int = 0
    wait_s: float = 0.0


class Pacer:
    """Counts the pictures that are started, in windows that other processes may share."""

    def __init__(self, windows: MovingWindows, per_minute: int | None) -> None:
        """`per_minute` is the number of pictures of one model within any minute; None: as many as come."""
        self._windows = windows
        self._window = None if per_minute is None else Window("pictures", per_minute, WINDOW_S)
        self._refusals: dict[str, tuple[float, int]] = {}

    @property
    def has_pace(self) -> bool:
        """Return whether the number of pictures within a minute is bounded."""
        return self._window is not None

    def require_room(self, pictures: int) -> None:
        """Raise DataValidationError if so many pictures can never be started at once."""
        if self._window is not None and pictures > self._window.limit:
            rule = f"must be at most {self._window.limit}: so many pictures may be started within a minute"
            raise DataValidationError.at(("n",), rule)

    async def take(self, model: str, pictures: int) -> Room:
        """Take room for the pictures of a call if there is any."""
        if self._window is None:
            return Room()
        events = min(self._window.limit, 2 * pictures if self.is_slow(model) else pictures)
        if await self._windows.hit(self._window, _key(model), events):
            return Room(events)
        return Room(wait_s=max(_SHORTEST_WAIT_S, await self._windows.wait_s(self._window, _key(model), events)))

    async def give_back(self, model: str, events: int) -> None:
        """Give back events that were taken for a call that was not made."""
        if self._window is not None and events:
            await self._windows.release(self._window, _key(model), events)

    def refused(self, model: str, retry_after_s: float | None) -> float:
        """Take notice that the generator refused a call for its rate; return the seconds until the next may start."""
        now = asyncio.get_running_loop().time()
        self._refusals = {name: entry for name, entry in self._refusals.items() if entry[0] > now - _SLOW_S}
        _, count = self._refusals.get(model, (now, 0))
        self._refusals[model] = (now, count + 1)
        if retry_after_s is None:
            return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**count)
        return max(_SHORTEST_PAUSE_S, retry_after_s)

    def slow_until(self, model: str) -> float:
        """Return the event loop's time until which this model is slow, because the generator refused a call of it."""
        refusal = self._refusals.get(model)
        return -math.inf if refusal is None else refusal[0] + _SLOW_S

    def is_slow(self, model: str) -> bool:
        """Return whether the generator refused a call of this model lately."""
        return self.slow_until(model) > asyncio.get_running_loop().time()

    def seconds_for(self, model: str, pictures: int) -> float:
        """Return the seconds that starting so many pictures takes at this pace; 0 without one."""
        if self._window is None:
            return 0.0
        return pictures * (2 if self.is_slow(model) else 1) * WINDOW_S / self._window.limit


def _key(model: str) -> str:
    """Return a short key: a model's name comes from callers."""
    return hashlib.sha256(model.encode()).hexdigest()[:32]
