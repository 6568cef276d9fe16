"""A bounded number of places, of which the next free one goes to the party that holds the fewest."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pixyproxy.domain.errors import PlacesTakenError

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Waiter:
    parties: tuple[str, ...]
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FairPlaces:
    """Places for bounded work, each taken in the name of one party or several, such as an account and an address.

    While all are taken, a bounded number of requests wait. A free place goes to the waiting request whose parties hold
    the fewest; among equals to those whose last turn is longest ago, then to the oldest. When too many wait, the party
    with the most requests loses its newest one.
    """

    def __init__(
        self, purpose: str, *, places: int, waiting: int, refusal: str, retry_after_s: float | None = None
    ) -> None:
        """`purpose` names the places in the log; `refusal` is the message for those who get none."""
        self._purpose = purpose
        self._places = places
        self._free = places
        self._max_waiting = waiting
        self._refusal = refusal
        self._retry_after_s = retry_after_s
        self._held: Counter[str] = Counter()
        self._demand: Counter[str] = Counter()
        self._waiters: list[_Waiter] = []
        self._turns = itertools.count(1)
        self._last_turns: dict[str, int] = {}
        self._has_warned = False

    @asynccontextmanager
    async def hold(self, *parties: str) -> AsyncIterator[None]:
        """Hold a place during the block; the errors are those of `acquire`."""
        await self.acquire(*parties)
        try:
            yield
        finally:
            self.release(*parties)

    def demand(self, party: str) -> int:
        """Return how many places a party holds or waits for."""
        return self._demand[party]

    async def acquire(self, *parties: str) -> None:
        """Take a place, perhaps after waiting for one.

        Raises:
            PlacesTakenError: if too many wait.
        """
        if self._free == 0 and len(self._waiters) >= self._max_waiting:
            self._turn_one_away(parties)
        self._demand.update(parties)
        if self._free:
            self._take(parties)
            return
        waiter = _Waiter(parties)
        self._waiters.append(waiter)
        try:
            await waiter.turn
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._forget(parties)
            elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self.release(*parties)  # The turn came together with the cancellation.
            raise

    def release(self, *parties: str) -> None:
        """Give a place back, to the next who waits."""
        self._forget(parties)
        _subtract(self._held, parties)
        self._free += 1
        # One that was cancelled a moment ago removes itself.
        waiters = [waiter for waiter in self._waiters if not waiter.turn.done()]
        if waiters:
            waiter = min(waiters, key=lambda one: self._rank(one.parties))
            self._waiters.remove(waiter)
            self._take(waiter.parties)
            waiter.turn.set_result(None)
        else:
            self._has_warned = False

    def turn_all_away(self, error: Exception) -> None:
        """Have all who wait raise an error."""
        for waiter in [waiter for waiter in self._waiters if not waiter.turn.done()]:
            self._turn_away(waiter, error)

    def _take(self, parties: tuple[str, ...]) -> None:
        self._free -= 1
        self._held.update(parties)
        self._last_turns.update(dict.fromkeys(parties, next(self._turns)))

    def _forget(self, parties: tuple[str, ...]) -> None:
        """Count one request less of each party."""
        _subtract(self._demand, parties)
        for party in parties:
            if party not in self._demand:
                self._last_turns.pop(party, None)

    def _rank(self, parties: tuple[str, ...]) -> tuple[int, int]:
        held = max(self._held[party] for party in parties)
        return held, max(self._last_turns.get(party, 0) for party in parties)

    def _turn_one_away(self, newcomer: tuple[str, ...]) -> None:
        """Turn away the newest request of the parties with the most; raise its error if that is the newcomer."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "all %d places for %s are taken and %d requests wait: some are refused (this is logged once)",
                self._places,
                self._purpose,
                len(self._waiters),
            )
        error = PlacesTakenError(self._refusal, retry_after_s=self._retry_after_s)
        waiters = [waiter for waiter in reversed(self._waiters) if not waiter.turn.done()]
        last = max(waiters, key=lambda waiter: self._most(waiter.parties), default=None)
        if last is None or self._most(last.parties) <= self._most(newcomer) + 1:
            raise error
        self._turn_away(last, error)

    def _turn_away(self, waiter: _Waiter, error: Exception) -> None:
        self._waiters.remove(waiter)
        self._forget(waiter.parties)
        waiter.turn.set_exception(error)

    def _most(self, parties: tuple[str, ...]) -> int:
        return max(self._demand[party] for party in parties)


def _subtract(counter: Counter[str], parties: tuple[str, ...]) -> None:
    """Count one less for each party, and forget those with none."""
    for party in parties:
        counter[party] -= 1
        if not counter[party]:
            del counter[party]
