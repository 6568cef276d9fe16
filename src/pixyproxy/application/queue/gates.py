"""The gates of models: closed by a refusal or by the pace, and narrow for a while after a refusal."""

import asyncio
import math

from pixyproxy.application.queue.pacer import Pacer


class Gates:
    """Knows of each model when its next call may start, and how many calls may run at once.

    Times are those of the event loop.
    """

    def __init__(self, pacer: Pacer) -> None:
        """`pacer` tells how long a model is slow after a refusal."""
        self._pacer = pacer
        self._closed_until: dict[str, float] = {}
        self._full_until: dict[str, float] = {}
        self._widths: dict[str, int] = {}

    def close(self, model: str, until: float) -> None:
        """Let no call of a model through until then, or later if it is closed for longer."""
        self._closed_until[model] = max(until, self._closed_until.get(model, until))

    def fill(self, model: str, until: float) -> None:
        """Let no call of a model through until its pace has more room, or until `empty`."""
        self._full_until[model] = until

    def empty(self, model: str) -> None:
        """Take notice that the pace of a model has room again."""
        self._full_until.pop(model, None)

    def narrow(self, model: str, width: int) -> None:
        """Let no more than `width` calls run at once while the model is slow."""
        self._widths[model] = width

    def is_open(self, model: str, running: int) -> bool:
        """Return whether a call of a model may start beside those that run."""
        return self.opens_in_s(model) <= 0 and running < self._widths.get(model, math.inf)

    def opens_in_s(self, model: str) -> float:
        """Return the seconds until the next call of a model may start, if few enough run then."""
        opens_at = max(self._closed_until.get(model, -math.inf), self._full_until.get(model, -math.inf))
        return max(0.0, opens_at - asyncio.get_running_loop().time())

    def expire(self) -> None:
        """Forget what is over."""
        now = asyncio.get_running_loop().time()
        self._closed_until = {model: until for model, until in self._closed_until.items() if until > now}
        self._full_until = {model: until for model, until in self._full_until.items() if until > now}
        self._widths = {model: width for model, width in self._widths.items() if self._pacer.is_slow(model)}

    def next_changes(self) -> list[float]:
        """Return the times at which gates open or become wide again."""
        return [*self._closed_until.values(), *self._full_until.values(), *map(self._pacer.slow_until, self._widths)]
