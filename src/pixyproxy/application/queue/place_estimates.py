"""Estimates of the places of calls that wait, and of the time until their turn."""

import asyncio
import math
from collections.abc import Mapping

from pixyproxy.application.queue.fair_line import FairLine
from pixyproxy.application.queue.gates import Gates
from pixyproxy.application.queue.pacer import Pacer
from pixyproxy.application.queue.turn import Turn
from pixyproxy.domain.generation import QueuePlace

_KEPT_S = 1.0
"""Seconds for which the order of those who wait is not computed again."""
_WEIGHT = 0.1
"""Weight of the last call in the mean of how long calls take."""


class PlaceEstimates:
    """Computes the places of all that wait at once, from the order, the pace and how long calls took lately."""

    def __init__(self, pacer: Pacer, places: int) -> None:
        """`places` is the number of calls at once."""
        self._pacer = pacer
        self._at_once = places
        self._seconds_of_a_call: float | None = None
        self._computed_at = -math.inf
        self._places: dict[Turn, QueuePlace] = {}

    def add_call(self, seconds: float) -> None:
        """Count a call that took so many seconds."""
        before = self._seconds_of_a_call
        self._seconds_of_a_call = seconds if before is None else (1 - _WEIGHT) * before + _WEIGHT * seconds

    def place_of(self, turn: Turn, lines: Mapping[str, FairLine], gates: Gates) -> QueuePlace | None:
        """Return the place of a turn in the line of its model, which gives no turn until its gate opens."""
        now = asyncio.get_running_loop().time()
        if turn not in self._places or now - self._computed_at > _KEPT_S:
            self._computed_at = now
            self._places = {}
            for model, line in lines.items():
                self._add_line(model, line, gates.opens_in_s(model))
        return self._places.get(turn)

    def _add_line(self, model: str, line: FairLine, closed_s: float) -> None:
        before = 0
        for position, turn in enumerate(line.in_order(), 1):
            seconds = [] if self._seconds_of_a_call is None else [self._seconds_of_a_call * self._rounds(position)]
            if self._pacer.has_pace or closed_s:
                seconds.append(closed_s + self._pacer.seconds_for(model, before))
            self._places[turn] = QueuePlace(position, max(1, math.ceil(max(seconds))) if seconds else None)
            before += turn.pictures

    def _rounds(self, position: int) -> int:
        """Return how many calls have to end, one after the other, before the one in this position begins."""
        return math.ceil(position / self._at_once)
