"""A state machine: after any sequence of calls, the turns are those that a plain list and its minimum give."""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pixyproxy.adapters.limits.moving_windows import LimitsMovingWindows
from pixyproxy.application.queue.pacer import Pacer
from pixyproxy.application.queue.turn import Turn
from pixyproxy.application.queue.turns import Turns
from pixyproxy.domain.errors import (
    CapacityExceededError,
    DataValidationError,
    DBConnectionError,
    GeneratorRateLimitedError,
    ImageNotFoundError,
    PixyProxyException,
    QueueTimeoutError,
)
from pixyproxy.ports.clock import Clock
from tests.unit.application.queue.test_turns import NOW, LoopClock

DERANDOMIZED = bool(os.environ.get("CI") or os.environ.get("PIXYPROXY_REQUIRE_MYSQL"))
MODELS = ("small", "large")
PLACES, PER_PARTY, PER_MINUTE, LENGTH = 5, 4, 8, 12
TIMEOUT_S = 200.25
"""Seconds until a turn is given up: no other event has a quarter of a second in its time."""
RECENT_S, WINDOW_S, SLOW_S = 60, 62, 60
WAITING, RUNNING, OVER = "waiting", "running", "over"
T = TypeVar("T")


class StandingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until a test moves it."""

    now = 1000.0

    def time(self) -> float:
        return self.now


class RecordedTurns(Turns):
    """Turns that note in which order they come."""

    def __init__(self, pacer: Pacer, clock: Clock) -> None:
        super().__init__(pacer, clock, places=PLACES, per_party=PER_PARTY, length=LENGTH, timeout_s=TIMEOUT_S)
        self.order: list[Turn] = []

    def _grant(self, turn: Turn, events: int) -> None:
        self.order.append(turn)
        super()._grant(turn, events)


@dataclass(eq=False)
class Call:
    """A call as the model of the queue sees it."""

    party: str
    model: str
    pictures: int
    since: float
    number: int
    deadline: float
    state: str = WAITING
    started_at: float | None = None
    last_before: int = 0
    events: int = 0
    turn: Turn | None = None
    waiter: "asyncio.Task[PixyProxyException | None] | None" = None


class ExpectedQueue:
    """The rules of the queue, told with lists."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.window: dict[str, list[float]] = {model: [] for model in MODELS}
        self.closed_until = dict.fromkeys(MODELS, 0.0)
        self.full_until = dict.fromkeys(MODELS, 0.0)
        self.refusals: dict[str, tuple[float, int]] = {}
        self.width = dict.fromkeys(MODELS, PLACES)
        self.last_turns: dict[str, int] = {}
        self.granted = 0

    def in_state(self, state: str, **of: object) -> list[Call]:
        calls = [call for call in self.calls if call.state == state]
        return [call for call in calls if all(getattr(call, name) == value for name, value in of.items())]

    def waiting_pictures(self) -> int:
        return sum(call.pictures for call in self.in_state(WAITING))

    def is_slow(self, model: str, now: float) -> bool:
        return model in self.refusals and self.refusals[model][0] + SLOW_S > now

    def recent_pictures(self, party: str, now: float) -> int:
        return sum(
            call.pictures
            for call in self.calls
            if call.party == party
            and call.started_at is not None
            and (call.state == RUNNING or call.started_at > now - RECENT_S)
        )

    def dispatch(self, now: float) -> list[Call]:
        """Give turns, and return those who got them, in their order."""
        order = []
        while (call := self._next(now)) is not None:
            window = self.window[call.model] = [at for at in self.window[call.model] if at > now - WINDOW_S]
            events = min(PER_MINUTE, call.pictures * (2 if self.is_slow(call.model, now) else 1))
            if len(window) + events > PER_MINUTE:
                self.full_until[call.model] = window[0] + WINDOW_S
                continue
            window.extend([now] * events)
            self.granted += 1
            call.state, call.started_at, call.events = RUNNING, now, events
            call.last_before = self.last_turns.get(call.party, 0)
            self.last_turns[call.party] = self.granted
            order.append(call)
        return order

    def _next(self, now: float) -> Call | None:
        if len(self.in_state(RUNNING)) >= PLACES:
            return None
        may_come = [
            call
            for call in self.in_state(WAITING)
            if max(self.closed_until[call.model], self.full_until[call.model]) <= now
            and len(self.in_state(RUNNING, party=call.party)) < PER_PARTY
            and (
                not self.is_slow(call.model, now)
                or len(self.in_state(RUNNING, model=call.model)) < self.width[call.model]
            )
        ]
        return min(may_come, key=lambda call: self._rank(call, now), default=None)

    def _rank(self, call: Call, now: float) -> tuple[int, int, float, int]:
        return (
            self.recent_pictures(call.party, now),
            self.last_turns.get(call.party, 0),
            call.since,
            call.number,
        )

    def next_times(self, now: float) -> list[float]:
        """Return the times to come at which something may change by itself."""
        times = [*self.closed_until.values(), *self.full_until.values()]
        times += [at + SLOW_S for at, _ in self.refusals.values()]
        times += [call.started_at + RECENT_S for call in self.calls if call.started_at is not None]
        times += [call.deadline for call in self.in_state(WAITING)]
        return [at for at in times if at > now]

    def not_made(self, call: Call) -> None:
        """Take notice that a call was not made: its room is free, and its party has had nothing."""
        if call.events:
            del self.window[call.model][-call.events :]
            self.full_until[call.model] = 0.0
        call.started_at, call.events = None, 0

    def refuse(self, model: str, retry_after_s: float | None, now: float) -> float:
        """Take notice of a refusal; return the seconds until the next call."""
        count = self.refusals[model][1] if self.is_slow(model, now) else 0
        self.refusals[model] = (now, count + 1)
        self.width[model] = max(1, (len(self.in_state(RUNNING, model=model)) - 1) // 2)
        return min(60.0, 2.0 * 2**count) if retry_after_s is None else retry_after_s

    def go_back(self, call: Call, delay_s: float, now: float) -> None:
        call.state = WAITING
        self.last_turns[call.party] = call.last_before
        self.closed_until[call.model] = max(self.closed_until[call.model], now + delay_s)
        if now + delay_s > call.deadline:
            call.deadline = now

    def leave(self, call: Call) -> None:
        call.state = OVER
        if not self.in_state(WAITING, party=call.party) and not self.in_state(RUNNING, party=call.party):
            self.last_turns.pop(call.party, None)


class QueueMachine(RuleBasedStateMachine):
    """Calls join, run, fail, are refused, cancelled and given up, while time passes."""

    @initialize()
    def begin(self) -> None:
        self.loop = StandingLoop()
        clock = LoopClock()
        self.turns = RecordedTurns(Pacer(LimitsMovingWindows(clock), PER_MINUTE), clock)
        self.expected = ExpectedQueue()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something, and let all that follows from it happen."""

        async def done() -> T:
            result = await work
            for _ in range(40):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(done())

    async def nothing(self) -> None:
        """Let what is due happen."""

    def compare_turns(self) -> None:
        """Compare who got turns, in their order."""
        order, self.turns.order = self.turns.order, []
        expected = self.expected.dispatch(self.loop.now)
        assert [self.call_of(turn) for turn in order] == expected

    def call_of(self, turn: Turn) -> Call:
        return next(call for call in self.expected.calls if call.turn is turn)

    def wait_for(self, call: Call) -> None:
        assert call.turn is not None
        call.waiter = self.loop.create_task(self.turns.wait(call.turn))

    @rule(
        party=st.sampled_from(["alice", "alice", "bob", "carol"]),
        model=st.sampled_from([*MODELS, MODELS[0], MODELS[0]]),
        pictures=st.integers(1, 3),
        age_s=st.sampled_from([0, 0, 0, 20, 150]),
        is_taken_over=st.booleans(),
    )
    def join(self, party: str, model: str, pictures: int, age_s: int, is_taken_over: bool) -> None:
        now = self.loop.now
        number = len(self.expected.calls)
        call = Call(party, model, pictures, now - age_s, number, now - age_s + TIMEOUT_S)
        others = self.expected.waiting_pictures()
        holds_others = any(one.state != OVER and one.party == party for one in self.expected.calls)
        has_room = others + pictures <= LENGTH and not (4 * others >= 3 * LENGTH and holds_others)
        self.expected.calls.append(call)
        since = NOW + timedelta(seconds=now - age_s)
        joining = self.turns.join(party, model, pictures, since, is_taken_over=is_taken_over)
        try:
            call.turn = self.run(joining)
        except CapacityExceededError:
            assert not self.turns.order
            assert self.expected.dispatch(now) == []
            assert not has_room
            assert not is_taken_over
            self.expected.leave(call)
            return
        self.compare_turns()
        assert call.state == RUNNING or has_room or is_taken_over
        self.wait_for(call)
        self.run(self.nothing())

    @rule()
    def join_with_too_many(self) -> None:
        with pytest.raises(DataValidationError):
            self.run(self.turns.join("alice", MODELS[0], PER_MINUTE + 1, NOW))

    @rule(data=st.data(), is_made=st.booleans())
    def end(self, data: st.DataObject, is_made: bool) -> None:
        if (call := self.draw(data, RUNNING)) is None:
            return
        if not is_made:
            self.expected.not_made(call)
        self.expected.leave(call)
        self.end_turn(call, 5.0 if is_made else None)
        self.compare_turns()

    @rule(data=st.data(), retry_after_s=st.sampled_from([None, None, 3.0, 90.0, 1000.0]))
    def refuse(self, data: st.DataObject, retry_after_s: float | None) -> None:
        if (call := self.draw(data, RUNNING)) is None:
            return
        delay_s = self.expected.refuse(call.model, retry_after_s, self.loop.now)
        call.started_at, call.events = None, 0  # the window keeps its events
        self.expected.go_back(call, delay_s, self.loop.now)
        self.go_back(call, self.turns.refused(call.turn, GeneratorRateLimitedError("no", retry_after_s=retry_after_s)))

    @rule(data=st.data())
    def be_without_a_database(self, data: st.DataObject) -> None:
        if (call := self.draw(data, RUNNING)) is None:
            return
        self.expected.not_made(call)
        self.expected.go_back(call, 2.0, self.loop.now)
        self.go_back(call, self.turns.go_back(call.turn, DBConnectionError("away"), 2.0))

    def go_back(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        self.run(work)
        self.compare_turns()
        self.wait_for(call)
        self.give_up_late_ones()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if (call := self.draw(data, WAITING)) is None:
            return
        self.expected.leave(call)
        assert call.turn is not None
        assert call.waiter is not None
        assert self.turns.cancel(call.turn, ImageNotFoundError("deleted"))
        self.run(self.nothing())
        assert isinstance(call.waiter.exception(), ImageNotFoundError)
        self.end_turn(call, None)
        self.compare_turns()

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 7.0, 31.0, 61.0, 130.0]))
    def pass_time(self, seconds: float) -> None:
        target = self.loop.now + seconds
        while self.loop.now < target:
            self.loop.now = min([target, *self.expected.next_times(self.loop.now)])
            self.give_up_late_ones()
            self.run(self.nothing())
            self.compare_turns()

    def give_up_late_ones(self) -> None:
        """Compare which calls give up because their time is over."""
        self.run(self.nothing())
        late = [call for call in self.expected.in_state(WAITING) if call.deadline <= self.loop.now]
        assert [call for call in self.expected.in_state(WAITING) if has_given_up(call)] == late
        for call in late:
            assert call.turn is not None
            assert call.waiter is not None
            assert isinstance(call.waiter.result(), QueueTimeoutError | GeneratorRateLimitedError | DBConnectionError)
            self.expected.leave(call)
            self.end_turn(call, None)
            self.compare_turns()

    def end_turn(self, call: Call, ran_s: float | None) -> None:
        async def end() -> None:
            assert call.turn is not None
            self.turns.end(call.turn, ran_s)

        self.run(end())

    def draw(self, data: st.DataObject, state: str) -> Call | None:
        calls = self.expected.in_state(state)
        return data.draw(st.sampled_from(calls)) if calls else None

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "turns"):
            assert self.turns.waiting == self.expected.waiting_pictures()
            assert self.turns.running == len(self.expected.in_state(RUNNING))

    @invariant()
    def all_who_wait_have_a_place(self) -> None:
        if hasattr(self, "turns"):
            places = [self.loop.run_until_complete(self.place_of(call)) for call in self.expected.in_state(WAITING)]
            assert all(places)

    async def place_of(self, call: Call) -> object:
        assert call.turn is not None
        return self.turns.place_of(call.turn)

    def teardown(self) -> None:
        """See that nothing is left once all calls are over."""
        if not hasattr(self, "turns"):
            return
        while calls := self.expected.in_state(RUNNING) or self.expected.in_state(WAITING):
            if calls[0].state == RUNNING:
                self.expected.leave(calls[0])
                self.end_turn(calls[0], 5.0)
                self.compare_turns()
            else:
                self.pass_time(31.0)
        self.pass_time(61.0)
        self.end_turn_of_a_new_call()
        assert (self.turns.waiting, self.turns.running) == (0, 0)
        left = [self.turns._lines, self.turns._held, self.turns._calls_of, self.turns._last_turns, self.turns._waiting]
        assert not any(left)
        assert self.turns._recent.of("alice") + self.turns._recent.of("bob") == 0
        self.loop.close()

    def end_turn_of_a_new_call(self) -> None:
        """Let the queue forget what is over, which it does when a turn is given."""
        self.loop.now += 1000
        turn = self.run(self.turns.join("dave", MODELS[0], 1, NOW + timedelta(seconds=self.loop.now)))

        async def end() -> None:
            self.turns.end(turn, 5.0)

        self.run(end())
        self.turns.order.clear()


def has_given_up(call: Call) -> bool:
    return call.waiter is not None and call.waiter.done() and call.waiter.result() is not None


def test_turns_come_as_the_rules_say() -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            derandomize=DERANDOMIZED,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
