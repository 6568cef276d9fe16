"""Places that go to the party that holds the fewest."""

import asyncio
from collections.abc import Awaitable

import pytest

from pixyproxy.application.fair_places import FairPlaces
from pixyproxy.domain.errors import CapacityExceededError, PlacesTakenError
from tests.fixtures.http_app import log_lines


def places_for(places: int = 2, waiting: int = 4) -> FairPlaces:
    return FairPlaces("tests", places=places, waiting=waiting, refusal="Full.", retry_after_s=3)


async def started(coroutine: Awaitable[None]) -> "asyncio.Future[None]":
    """Begin to wait for a place, and return once that is so."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    return task


async def test_the_next_place_goes_to_the_party_with_the_fewest_and_then_to_the_oldest() -> None:
    places = places_for(places=3)
    for _ in range(3):
        await places.acquire("hog")
    fourth, fifth = await started(places.acquire("hog")), await started(places.acquire("hog"))
    early, late = await started(places.acquire("early")), await started(places.acquire("late"))
    places.release("hog")
    await asyncio.wait([early])
    places.release("hog")
    await asyncio.wait([late])
    assert not fourth.done()
    places.release("early")
    await asyncio.wait([fourth])
    assert not fifth.done()
    places.release("late")
    await asyncio.wait([fifth])
    assert (places.demand("hog"), places.demand("early")) == (3, 0)


async def test_parties_that_hold_as_few_take_turns() -> None:
    places = places_for(places=2, waiting=9)
    for party in ("a", "b"):
        await places.acquire(party)
    waiting = {party: [await started(places.acquire(party)) for _ in range(3)] for party in ("a", "b")}
    late = await started(places.acquire("late"))
    places.release("a")
    await asyncio.wait([late])  # though others are older
    places.release("late")
    await asyncio.wait([waiting["a"][0]])
    places.release("b")
    await asyncio.wait([waiting["b"][0]])
    assert not any(task.done() for task in (*waiting["a"][1:], *waiting["b"][1:]))
    for task in (*waiting["a"], *waiting["b"]):
        task.cancel()


async def test_one_of_several_parties_of_a_request_is_enough_to_wait_behind_others() -> None:
    places = places_for(places=2, waiting=9)
    await places.acquire("address 0", "account alice")
    await places.acquire("address 1", "account carol")
    guess = await started(places.acquire("address 2", "account alice"))
    other = await started(places.acquire("address 3", "account bob"))
    places.release("address 1", "account carol")
    await asyncio.wait([other])
    assert not guess.done()
    guess.cancel()


async def test_a_newcomer_takes_the_turn_of_the_party_that_waits_most() -> None:
    places = places_for(places=1, waiting=3)
    await places.acquire("hog")
    waiting = [await started(places.acquire("hog")) for _ in range(3)]
    with pytest.raises(PlacesTakenError, match="Full") as refused:
        await places.acquire("hog")
    assert refused.value.retry_after_s == 3
    newcomer = await started(places.acquire("newcomer"))
    with pytest.raises(PlacesTakenError):
        await waiting[2]
    places.release("hog")
    await asyncio.wait([newcomer])
    assert places.demand("hog") == 2
    # Among equals nobody gives way.
    equals = places_for(places=1, waiting=1)
    await equals.acquire("a")
    last = await started(equals.acquire("b"))
    with pytest.raises(PlacesTakenError):
        await equals.acquire("c")
    for task in (*waiting, last):
        task.cancel()


async def test_a_cancelled_wait_leaves_no_trace() -> None:
    places = places_for(places=1)
    await places.acquire("a")
    gone, waiting = await started(places.acquire("gone")), await started(places.acquire("b"))
    gone.cancel()
    places.release("a")  # before the cancelled one could remove itself
    await asyncio.wait([gone, waiting])
    assert places.demand("gone") == 0
    both = await started(places.acquire("c"))
    places.release("b")
    both.cancel()  # together with its turn
    await asyncio.wait([both])
    assert both.cancelled()
    async with places.hold("d"):
        assert places.demand("d") == 1
    assert places.demand("d") == 0


async def test_all_who_wait_can_be_turned_away() -> None:
    places = places_for(places=1)
    await places.acquire("a")
    waiting = [await started(places.acquire("b")) for _ in range(3)]
    places.turn_all_away(CapacityExceededError("The end."))
    for task in waiting:
        with pytest.raises(CapacityExceededError, match="The end"):
            await task
    assert places.demand("b") == 0
    places.release("a")
    await places.acquire("c")


async def test_full_places_are_logged_once_until_nobody_waits() -> None:
    places = places_for(places=1, waiting=0)
    with log_lines() as lines:
        for _ in range(2):
            await places.acquire("a")
            for _ in range(3):
                with pytest.raises(PlacesTakenError):
                    await places.acquire("b")
            places.release("a")
    assert len([line for line in lines if " WARNING " in line and "all 1 places for tests are taken" in line]) == 2
