"""The turns of calls: places for calls at once, the generator's pace, and a fair order among those who wait."""

import asyncio
import logging
from collections import Counter
from datetime import datetime

from pixyproxy.application.queue.fair_line import FairLine, Load
from pixyproxy.application.queue.gates import Gates
from pixyproxy.application.queue.pacer import Pacer
from pixyproxy.application.queue.place_estimates import PlaceEstimates
from pixyproxy.application.queue.turn import RecentPictures, Turn
from pixyproxy.domain.errors import CapacityExceededError, PixyProxyException, QueueTimeoutError
from pixyproxy.domain.generation import QueuePlace
from pixyproxy.ports.clock import Clock

logger = logging.getLogger(__name__)


class Turns:
    """Gives turns to calls: at once while there are places and the pace allows it, else one after the other.

    The next turn goes to the party with the fewest pictures running or started in the last minute; among equals to one
    that has had none since it began to wait, or whose last is longest ago; then to the oldest. A call that is larger
    than what is left of the pace is waited for: smaller ones do not overtake it.
    """

    def __init__(
        self, pacer: Pacer, clock: Clock, *, places: int, per_party: int | None, length: int, timeout_s: float
    ) -> None:
        """`places` bounds the calls at once, `per_party` those of one party; `length` the pictures that wait.

        The last quarter of the length is for parties who hold nothing. A call waits `timeout_s` seconds at most.
        """
        self._pacer = pacer
        self._clock = clock
        self._places = places
        self._per_party = per_party
        self._length = length
        self.timeout_s = timeout_s
        self._recent = RecentPictures()
        self._lines: dict[str, FairLine] = {}
        self._gates = Gates(pacer)
        self._waiting: set[Turn] = set()
        self._running: set[Turn] = set()
        self._calls_of: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._last_turns: dict[str, int] = {}
        self._granted = 0
        self._pictures_waiting = 0
        self._numbers = 0
        self._estimates = PlaceEstimates(pacer, places)
        self._dispatching = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._end: PixyProxyException | None = None

    @property
    def waiting(self) -> int:
        """The number of pictures that wait."""
        return self._pictures_waiting

    @property
    def running(self) -> int:
        """The number of calls that hold a place."""
        return len(self._running)

    async def join(
        self, party: str, model: str, pictures: int, since: datetime, *, is_taken_over: bool = False
    ) -> Turn:
        """Return a turn, which has come already or is to be waited for; `end` must be called for it.

        One that is taken over from another process waits even if the queue is full.

        Raises:
            DataValidationError: The call has more pictures than the pace ever allows.
            CapacityExceededError: Too many wait, or the service is stopping.
        """
        self._pacer.require_room(pictures)
        if self._end is not None:
            raise CapacityExceededError("The server is shutting down: try again in a moment.")
        age_s = max(0.0, (self._clock.now() - since).total_seconds())
        self._numbers += 1
        turn = Turn(party, model, pictures, since, self._numbers, self._now() + self.timeout_s - age_s)
        self._held[party] += pictures
        try:
            self._add(turn)
            if is_taken_over:
                await asyncio.sleep(0)  # those that come with it join first
            await self._dispatch()
            if turn.is_waiting and not is_taken_over:
                self._require_length(turn)
        except BaseException:
            self.end(turn)
            raise
        return turn

    async def wait(self, turn: Turn) -> PixyProxyException | None:
        """Return None when the turn has come, or an error when its time is over.

        The error is the reason why it went back to wait, if it did.

        Raises:
            PixyProxyException: The turn was cancelled, or the service stops.
        """
        await asyncio.wait([turn.granted], timeout=max(0.0, turn.deadline - self._now()))
        if turn.granted.done():
            turn.granted.result()
            return None
        self._remove(turn)
        return turn.reason or QueueTimeoutError(
            f"The turn did not come within {self.timeout_s:g} s: nothing was sent to the generator, and nothing was "
            "paid. Try again later."
        )

    async def go_back(self, turn: Turn, reason: PixyProxyException, delay_s: float) -> None:
        """Have a turn that has come wait again, before all that are younger; its model has none for `delay_s` seconds.

        If that is longer than it may wait, its time is over at once.
        """
        self._stop_running(turn)
        self._recent.take_back(turn)
        self._last_turns[turn.party] = turn.last_before
        events, turn.events, turn.reason = turn.events, 0, reason
        opens_at = self._now() + delay_s
        self._gates.close(turn.model, opens_at)
        turn.granted = asyncio.get_running_loop().create_future()
        if opens_at > turn.deadline:
            turn.deadline = self._now()
        self._add(turn)
        self._refresh(turn.party)
        if self._end is not None:
            self.cancel(turn, self._end)
        await self._give_back(turn.model, events)

    async def refused(self, turn: Turn, error: PixyProxyException) -> None:
        """Have a turn wait again whose call the generator refused for its rate."""
        delay_s = self._pacer.refused(turn.model, error.retry_after_s)
        self._gates.narrow(turn.model, max(1, (self._running_of(turn.model) - 1) // 2))
        logger.warning(
            "the generator refused a call for its rate: the next of model %r starts in %.0f s", turn.model, delay_s
        )
        # The generator has counted it, or not: the window holds its events until they are over.
        turn.events = 0
        await self.go_back(turn, error, delay_s)

    def end(self, turn: Turn, ran_s: float | None = None) -> None:
        """Give back the place of a turn, whose call took `ran_s` seconds, or leave the queue."""
        unused = 0
        if turn.is_waiting:
            self._remove(turn)
        elif turn.is_running:
            self._stop_running(turn)
            if ran_s is None:
                self._recent.take_back(turn)
                unused = turn.events
            else:
                self._recent.end(turn)
                self._estimates.add_call(ran_s)
        self._held[turn.party] -= turn.pictures
        if not self._held[turn.party]:
            del self._held[turn.party]
            self._last_turns.pop(turn.party, None)
        self._refresh(turn.party)
        if unused:
            self._start(self._give_back(turn.model, unused))
        else:
            self._wake()

    def cancel(self, turn: Turn, error: PixyProxyException) -> bool:
        """Have a turn that waits raise an error; return whether it did wait."""
        if not turn.is_waiting:
            return False
        self._remove(turn)
        turn.granted.set_exception(error)
        return True

    def close(self, error: PixyProxyException) -> None:
        """Have all that wait, and all that will, raise an error."""
        self._end = error
        for turn in list(self._waiting):
            self.cancel(turn, error)
        if self._timer is not None:
            self._timer.cancel()

    def place_of(self, turn: Turn) -> QueuePlace | None:
        """Return the place of a turn that waits, None of another; up to a second old."""
        return self._estimates.place_of(turn, self._lines, self._gates) if turn.is_waiting else None

    def _require_length(self, turn: Turn) -> None:
        """Raise CapacityExceededError unless a turn may wait beside those that do."""
        others = self._pictures_waiting - turn.pictures
        holds_others = self._held[turn.party] > turn.pictures
        if others + turn.pictures <= self._length and not (4 * others >= 3 * self._length and holds_others):
            return
        many = f"{others} pictures wait for their turn" if others else f"All {self._places} places are taken"
        rule = ", and the places that are left are for callers who wait for none" if others < self._length else ""
        raise CapacityExceededError(f"{many}{rule}; nothing was begun or paid: try again later.")

    def _add(self, turn: Turn) -> None:
        turn.is_waiting = True
        self._waiting.add(turn)
        self._pictures_waiting += turn.pictures
        if turn.model not in self._lines:
            self._lines[turn.model] = FairLine(self._load_of)
        self._lines[turn.model].add(turn)

    def _remove(self, turn: Turn) -> None:
        turn.is_waiting = False
        self._waiting.discard(turn)
        self._pictures_waiting -= turn.pictures
        line = self._lines[turn.model]
        line.refresh(turn.party)
        if line.is_empty:
            del self._lines[turn.model]

    def _stop_running(self, turn: Turn) -> None:
        turn.is_running = False
        self._running.discard(turn)
        self._calls_of[turn.party] -= 1
        if not self._calls_of[turn.party]:
            del self._calls_of[turn.party]

    def _running_of(self, model: str) -> int:
        return sum(turn.model == model for turn in self._running)

    def _load_of(self, party: str) -> Load | None:
        if self._per_party is not None and self._calls_of[party] >= self._per_party:
            return None
        return Load(self._recent.of(party), self._last_turns.get(party, 0))

    def _refresh(self, party: str) -> None:
        for line in self._lines.values():
            line.refresh(party)

    async def _give_back(self, model: str, events: int) -> None:
        """Give back what was taken of the pace for a call that was not made, which another may take now."""
        if events:
            await self._pacer.give_back(model, events)
            self._gates.empty(model)
        self._wake()

    async def _dispatch(self) -> None:
        """Give turns to all that may have one now."""
        async with self._dispatching:
            now = self._now()
            for party in self._recent.expire(now):
                self._refresh(party)
            self._gates.expire()
            while (turn := self._next()) is not None:
                room = await self._pacer.take(turn.model, turn.pictures)
                if room.wait_s:
                    self._gates.fill(turn.model, self._now() + room.wait_s)
                elif turn.is_waiting:
                    self._grant(turn, room.events)
                else:  # it was cancelled meanwhile
                    await self._pacer.give_back(turn.model, room.events)
        self._set_timer()

    def _next(self) -> Turn | None:
        if len(self._running) >= self._places:
            return None
        heads = []
        for model, line in self._lines.items():
            if self._gates.is_open(model, self._running_of(model)) and (turn := line.head()) is not None:
                heads.append((line.rank(turn), turn))
        return min(heads, key=lambda head: head[0])[1] if heads else None

    def _grant(self, turn: Turn, events: int) -> None:
        self._remove(turn)
        turn.is_running, turn.events = True, events
        self._running.add(turn)
        self._calls_of[turn.party] += 1
        self._recent.start(turn, self._now())
        self._granted += 1
        turn.last_before = self._last_turns.get(turn.party, 0)
        self._last_turns[turn.party] = self._granted
        self._refresh(turn.party)
        turn.granted.set_result(None)

    def _set_timer(self) -> None:
        """Dispatch again when a model opens, or a minute is over that changes the order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [*self._gates.next_changes(), *self._recent.next_expiry()]
        if times and self._waiting and self._end is None:
            self._timer = asyncio.get_running_loop().call_at(min(times), self._wake)

    def _wake(self) -> None:
        if self._waiting:
            self._start(self._dispatch())

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
