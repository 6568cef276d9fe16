"""The turn of a call, and how much each party has had lately."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime

from pixyproxy.domain.errors import PixyProxyException

RECENT_S = 60.0
"""Seconds for which a picture that was started counts, even if it is ready."""


@dataclass(eq=False, slots=True)
class Turn:
    """The turn of one call: it waits, then it holds a place until it ends or goes back to wait.

    `party` is the caller in whose name it is given, `pictures` their number, and `since` the time of the request.
    `granted` is done once the turn has come, with an error if it will not. `reason` is why it went back to wait,
    and `last_before` the number of the party's turn before this one.
    """

    party: str
    model: str
    pictures: int
    since: datetime
    number: int
    deadline: float
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    reason: PixyProxyException | None = None
    is_waiting: bool = True
    is_running: bool = False
    events: int = 0
    started_at: float | None = None
    is_recent: bool = False
    last_before: int = 0

    @property
    def age(self) -> tuple[datetime, int]:
        """A value that is lower for an older request."""
        return self.since, self.number


class RecentPictures:
    """Counts the pictures of each party that are running or were started in the last minute."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._started: deque[tuple[float, Turn]] = deque()

    def of(self, party: str) -> int:
        """Return the number of a party."""
        return self._counts[party]

    def start(self, turn: Turn, now: float) -> None:
        """Count the pictures of a turn that begins to run."""
        if not turn.is_recent:
            self._counts[turn.party] += turn.pictures
        turn.started_at, turn.is_recent = now, True
        self._started.append((now, turn))

    def end(self, turn: Turn) -> None:
        """Note that a turn no longer runs; its pictures count until their minute is over."""
        if not turn.is_recent:
            self._forget(turn)

    def take_back(self, turn: Turn) -> None:
        """Count the pictures of a turn no longer: nothing was made."""
        turn.is_recent = False
        self._forget(turn)

    def expire(self, now: float) -> list[str]:
        """Forget what was started more than a minute ago and runs no more; return the parties that have fewer."""
        changed = []
        while self._started and self._started[0][0] <= now - RECENT_S:
            at, turn = self._started.popleft()
            if turn.is_recent and turn.started_at == at:
                turn.is_recent = False
                if not turn.is_running:
                    self._forget(turn)
                    changed.append(turn.party)
        return changed

    def next_expiry(self) -> tuple[float, ...]:
        """Return the time at which `expire` may have something to forget, or none."""
        return (self._started[0][0] + RECENT_S,) if self._started else ()

    def _forget(self, turn: Turn) -> None:
        self._counts[turn.party] -= turn.pictures
        if not self._counts[turn.party]:
            del self._counts[turn.party]
