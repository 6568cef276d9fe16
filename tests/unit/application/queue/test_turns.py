"""Turns: places, pace, fairness, refusals, the length of the queue and its end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from pixyproxy.adapters.limits.moving_windows import LimitsMovingWindows
from pixyproxy.application.queue.fair_line import Load
from pixyproxy.application.queue.pacer import Pacer
from pixyproxy.application.queue.turn import Turn
from pixyproxy.application.queue.turns import Turns
from pixyproxy.domain.errors import (
    CapacityExceededError,
    DataValidationError,
    DBConnectionError,
    GeneratorRateLimitedError,
    ImageNotFoundError,
    QueueTimeoutError,
    ServiceStoppedError,
)
from pixyproxy.domain.generation import QueuePlace
from pixyproxy.ports.clock import Clock

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
MODEL = "m"


class LoopClock(Clock):
    """A clock that follows the event loop."""

    def now(self) -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())


class Queue:
    """Turns with a clock that a test moves: the time of the event loop."""

    def __init__(self, **options: object) -> None:
        self.clock = LoopClock()
        per_minute = options.pop("per_minute", None)
        values = {"places": 1, "per_party": None, "length": 1000, "timeout_s": 1800.0} | options
        self.turns = Turns(Pacer(LimitsMovingWindows(self.clock), per_minute), self.clock, **values)  # type: ignore[arg-type]
        self.order: list[str] = []

    async def join(self, party: str, pictures: int = 1, model: str = MODEL, **options: bool) -> Turn:
        return await self.turns.join(party, model, pictures, self.clock.now(), **options)

    async def wait(self, name: str, turn: Turn) -> None:
        """Wait for a turn, note its name, and end it at once."""
        assert await self.turns.wait(turn) is None
        self.order.append(name)
        self.turns.end(turn, 1.0)


@pytest.fixture
async def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Return a function that moves the event loop's time on, and lets what is due happen."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)

    async def pass_time(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds
        for _ in range(20):
            await asyncio.sleep(0)

    return pass_time


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_free_place_is_a_turn_at_once() -> None:
    queue = Queue(places=2)
    first, second, third = [await queue.join("alice") for _ in range(3)]
    assert [turn.is_running for turn in (first, second, third)] == [True, True, False]
    assert (queue.turns.running, queue.turns.waiting) == (2, 1)
    queue.turns.end(first, 1.0)
    await settle()
    assert third.is_running
    assert queue.turns.waiting == 0


async def test_the_party_with_the_fewest_recent_pictures_is_next() -> None:
    queue = Queue()
    running = await queue.join("busy")
    names = ["busy 2", "busy 3", "calm 1", "calm 2", "new 1"]
    waits = [asyncio.create_task(queue.wait(name, await queue.join(name.split()[0]))) for name in names]
    queue.turns.end(running, 1.0)
    await asyncio.gather(*waits)
    assert queue.order == ["calm 1", "new 1", "busy 2", "calm 2", "busy 3"]


async def test_a_call_of_several_pictures_counts_them() -> None:
    queue = Queue()
    running = await queue.join("other")
    joined = [("many", 3), ("one", 1), ("many", 1), ("one", 1), ("one", 1)]
    waits = [
        asyncio.create_task(queue.wait(f"{party} {number}", await queue.join(party, pictures)))
        for number, (party, pictures) in enumerate(joined)
    ]
    queue.turns.end(running, 1.0)
    await asyncio.gather(*waits)
    assert queue.order == ["many 0", "one 1", "one 3", "one 4", "many 2"]


async def test_everybodys_first_comes_before_anybodys_third() -> None:
    queue = Queue()
    running = await queue.join("the first")
    parties = ["greedy"] * 50 + [f"caller {number}" for number in range(99)]
    waits = [asyncio.create_task(queue.wait(party, await queue.join(party))) for party in parties]
    queue.turns.end(running, 1.0)
    await asyncio.gather(*waits)
    assert queue.order[:100].count("greedy") == 1
    assert len(set(queue.order[:100])) == 100


async def test_one_who_has_had_no_turn_comes_before_one_whose_turns_are_a_minute_old(
    pass_time: Callable[[float], Awaitable[None]],
) -> None:
    queue = Queue(places=3, per_minute=3)
    turns = [await queue.join(party) for party in ["greedy"] * 9 + [f"caller {number}" for number in range(6)]]
    order = []
    for _ in range(5):
        order += [turn for turn in turns if turn.is_running]
        for turn in order[-3:]:
            queue.turns.end(turn, 1.0)
        await pass_time(63)
    assert [turn.party for turn in order].index("caller 5") < [
        place for place, turn in enumerate(order) if turn.party == "greedy"
    ][4]
    assert len(order) == 15


async def test_what_was_started_a_minute_ago_counts_no_more(pass_time: Callable[[float], Awaitable[None]]) -> None:
    queue = Queue()
    queue.turns.end(await queue.join("early"), 1.0)
    running = await queue.join("other")
    waits = [asyncio.create_task(queue.wait(name, await queue.join(name))) for name in ("early", "late")]
    await pass_time(61)
    queue.turns.end(running, 1.0)
    await asyncio.gather(*waits)
    assert queue.order == ["early", "late"]


async def test_a_party_has_no_more_calls_at_once_than_it_may() -> None:
    queue = Queue(places=3, per_party=1)
    first = await queue.join("alice")
    second = await queue.join("alice")
    other = await queue.join("bob")
    assert (second.is_waiting, other.is_running) == (True, True)
    queue.turns.end(first, 1.0)
    await settle()
    assert second.is_running


async def test_no_minute_holds_more_pictures_of_a_model_than_the_pace(
    pass_time: Callable[[float], Awaitable[None]],
) -> None:
    queue = Queue(places=100, per_minute=5)
    turns = [await queue.join(f"caller {number}") for number in range(8)]
    other = await queue.join("caller", model="another")
    assert [turn.is_running for turn in turns] == [True] * 5 + [False] * 3
    assert other.is_running
    await pass_time(60)
    assert turns[5].is_waiting
    await pass_time(3)
    assert all(turn.is_running for turn in turns)


async def test_a_large_call_is_not_overtaken_by_small_ones(pass_time: Callable[[float], Awaitable[None]]) -> None:
    queue = Queue(places=100, per_minute=4)
    await queue.join("alice", 2)
    large = await queue.join("bob", 4)
    small = await queue.join("carol", 1)
    assert (large.is_waiting, small.is_waiting) == (True, True)
    await pass_time(63)
    assert (large.is_running, small.is_waiting) == (True, True)


async def test_a_large_call_asks_again_only_when_there_is_more_room(
    pass_time: Callable[[float], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, asked = Queue(places=100, per_minute=4), []
    await queue.join("alice", 1)
    await pass_time(30)
    await queue.join("alice", 1)
    take = Pacer.take
    monkeypatch.setattr(Pacer, "take", lambda pacer, *call: (asked.append(call), take(pacer, *call))[1])
    large = await queue.join("bob", 4)
    for _ in range(61):
        await pass_time(1)
    assert large.is_waiting
    await pass_time(2)
    assert large.is_running
    assert len(asked) < 5


async def test_the_room_of_a_call_that_was_not_made_is_anothers_at_once() -> None:
    queue = Queue(places=100, per_minute=1)
    turn, waiting = await queue.join("alice"), await queue.join("bob")
    queue.turns.end(turn)
    await settle()
    assert waiting.is_running


async def test_more_pictures_than_the_pace_ever_allows_are_refused_at_once() -> None:
    with pytest.raises(DataValidationError, match="must be at most 4"):
        await Queue(per_minute=4).join("alice", 5)


async def test_a_call_that_was_not_made_gives_its_room_back() -> None:
    queue = Queue(places=100, per_minute=1)
    turn = await queue.join("alice")
    queue.turns.end(turn)
    await settle()
    assert (await queue.join("alice")).is_running


async def test_a_refused_call_waits_until_the_generator_allows_it_before_all_others(
    pass_time: Callable[[float], Awaitable[None]],
) -> None:
    queue = Queue(places=2)
    refused, running = await queue.join("alice"), await queue.join("carol")
    younger = await queue.join("bob")
    await queue.turns.refused(refused, GeneratorRateLimitedError("slow down", retry_after_s=7))
    assert (refused.is_waiting, younger.is_waiting, running.is_running) == (True, True, True)
    place = queue.turns.place_of(refused)
    assert place is not None
    assert place.position == 1
    await pass_time(6)
    assert refused.is_waiting
    await pass_time(1.5)
    assert (refused.is_running, younger.is_waiting) == (False, True)  # half as many run at once for a minute
    queue.turns.end(running, 1.0)
    await settle()
    assert (refused.is_running, younger.is_waiting) == (True, True)


async def test_after_a_refusal_half_as_many_run_as_ran_beside_it(
    pass_time: Callable[[float], Awaitable[None]],
) -> None:
    queue = Queue(places=10)
    refused, *others = [await queue.join(f"caller {number}") for number in range(4)]
    await queue.turns.refused(refused, GeneratorRateLimitedError("slow down", retry_after_s=1))
    await pass_time(2)
    for other in others:
        assert refused.is_waiting
        queue.turns.end(other, 1.0)
        await settle()
    assert refused.is_running


async def test_after_a_refusal_every_picture_counts_twice_for_a_minute(
    pass_time: Callable[[float], Awaitable[None]],
) -> None:
    pacer = Pacer(LimitsMovingWindows(LoopClock()), 8)
    assert pacer.refused(MODEL, 1) == 1
    assert [(await pacer.take(MODEL, 1)).events for _ in range(5)] == [2, 2, 2, 2, 0]
    assert (await pacer.take("another", 1)).events == 1
    await pass_time(63)
    assert [(await pacer.take(MODEL, 1)).events for _ in range(9)] == [1] * 8 + [0]
    assert pacer.refused(MODEL, 1) == 1
    await pass_time(59)
    assert 2 < (await pacer.take(MODEL, 8)).wait_s <= 3
    await pass_time(4)
    assert (await pacer.take(MODEL, 8)).events == 8


async def test_refusals_without_a_time_wait_twice_as_long_each() -> None:
    pacer = Pacer(LimitsMovingWindows(LoopClock()), None)
    assert [pacer.refused(MODEL, None) for _ in range(7)] == [2, 4, 8, 16, 32, 60, 60]
    assert pacer.refused(MODEL, 0) == 0.1
    assert pacer.refused("another", None) == 2


async def test_a_refusal_that_lasts_longer_than_the_queue_is_the_answer() -> None:
    queue = Queue(timeout_s=100)
    turn, error = await queue.join("alice"), GeneratorRateLimitedError("slow down", retry_after_s=101)
    await queue.turns.refused(turn, error)
    assert await queue.turns.wait(turn) is error
    queue.turns.end(turn)
    assert queue.turns.waiting == 0


async def test_a_turn_that_does_not_come_in_time_is_an_error(pass_time: Callable[[float], Awaitable[None]]) -> None:
    queue = Queue(timeout_s=0.01)
    await queue.join("alice")
    error = await queue.turns.wait(turn := await queue.join("bob"))
    assert isinstance(error, QueueTimeoutError)
    assert "within 0.01 s" in error.message
    assert error.retry_after_s
    assert not error.may_have_been_paid
    queue.turns.end(turn)
    assert (queue.turns.waiting, queue.turns.running) == (0, 1)


async def test_an_outage_gives_the_room_back_and_is_the_reason_in_the_end() -> None:
    queue = Queue(places=100, per_minute=1, timeout_s=0.05)
    turn, outage = await queue.join("alice"), DBConnectionError("away")
    await queue.turns.go_back(turn, outage, 0.02)
    assert await queue.turns.wait(turn) is None
    await queue.turns.go_back(turn, outage, 10)
    assert await queue.turns.wait(turn) is outage


async def test_a_turn_that_goes_back_no_longer_counts_for_calls_of_other_models() -> None:
    queue = Queue(places=2, per_party=1)
    first, other = await queue.join("alice", model="small"), await queue.join("bob", model="small")
    waits = await queue.join("alice", model="large")
    later = await queue.join("bob", model="large")
    await queue.turns.go_back(first, DBConnectionError("away"), 10)
    await settle()
    assert (waits.is_running, later.is_running, other.is_running) == (True, False, True)


async def test_a_full_queue_refuses_and_keeps_its_last_quarter_for_those_who_hold_nothing() -> None:
    queue = Queue(length=8)
    await queue.join("alice")
    for _ in range(6):
        await queue.join("alice")
    with pytest.raises(CapacityExceededError, match="for callers who wait for none"):
        await queue.join("alice")
    await queue.join("bob")
    with pytest.raises(CapacityExceededError, match="for callers who wait for none"):
        await queue.join("bob")
    await queue.join("carol")
    with pytest.raises(CapacityExceededError, match="8 pictures wait") as caught:
        await queue.join("dave")
    assert caught.value.retry_after_s
    assert queue.turns.waiting == 8
    assert (await queue.join("dave", is_taken_over=True)).is_waiting


async def test_without_a_queue_what_has_no_place_is_refused() -> None:
    queue = Queue(length=0)
    running = await queue.join("alice")
    with pytest.raises(CapacityExceededError, match="All 1 places are taken"):
        await queue.join("bob")
    queue.turns.end(running, 1.0)
    assert (await queue.join("bob")).is_running


async def test_a_cancelled_turn_leaves_the_queue_to_others() -> None:
    queue = Queue()
    running, cancelled, last = [await queue.join(name) for name in ("alice", "bob", "carol")]
    assert queue.turns.cancel(cancelled, ImageNotFoundError("deleted"))
    with pytest.raises(ImageNotFoundError):
        await queue.turns.wait(cancelled)
    queue.turns.end(cancelled)
    assert not queue.turns.cancel(running, ImageNotFoundError("deleted"))
    queue.turns.end(running, 1.0)
    await settle()
    assert last.is_running


async def test_the_end_sends_away_all_who_wait_and_all_who_come_back() -> None:
    queue = Queue(places=2)
    running, refused = await queue.join("alice"), await queue.join("bob")
    waiting = await queue.join("carol")
    queue.turns.close(ServiceStoppedError("the end"))
    with pytest.raises(ServiceStoppedError):
        await queue.turns.wait(waiting)
    await queue.turns.refused(refused, GeneratorRateLimitedError("slow down"))
    with pytest.raises(ServiceStoppedError):
        await queue.turns.wait(refused)
    with pytest.raises(CapacityExceededError):
        await queue.join("dave")
    assert running.is_running


async def test_places_tell_the_order_and_the_time() -> None:
    queue = Queue(places=1, per_minute=30)
    first = await queue.join("alice")
    turns = [await queue.join(name) for name in ("alice", "alice", "bob")]
    assert [queue.turns.place_of(turn) for turn in turns] == [QueuePlace(2, 3), QueuePlace(3, 5), QueuePlace(1, 1)]
    assert queue.turns.place_of(first) is None


async def test_without_a_pace_the_time_is_that_of_the_calls_before() -> None:
    queue = Queue(places=2)
    await queue.join("alice")
    ended = await queue.join("bob")
    assert queue.turns.place_of(await queue.join("carol")) == QueuePlace(1, None)
    queue.turns.end(ended, 20.0)
    await settle()
    turns = [await queue.join(f"caller {number}") for number in range(3)]
    assert [queue.turns.place_of(turn) for turn in turns] == [QueuePlace(1, 20), QueuePlace(2, 20), QueuePlace(3, 40)]


@pytest.mark.parametrize("many", [10, 10_000])
async def test_the_steps_of_a_turn_do_not_grow_with_the_queue(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(length=100_000)
    running = await queue.join("the first")
    for number in range(many):
        await queue.join(f"caller {number % (many // 2)}")
    compared = 0
    load_of = queue.turns._load_of

    def counted(party: str) -> Load | None:
        nonlocal compared
        compared += 1
        return load_of(party)

    for line in queue.turns._lines.values():
        monkeypatch.setattr(line, "_load_of", counted)
    queue.turns.end(running, 1.0)
    await settle()
    assert queue.turns.running == 1
    assert compared < 10
