"""Conformance suite of the port MovingWindows.

An adapter's suite subclasses `MovingWindowsContract` and supplies the fixture `windows`, which lives by the fixture
`clock`.
"""

import asyncio
from datetime import timedelta
from typing import ClassVar
from uuid import uuid4

import pytest

from pixyproxy.ports.moving_windows import MovingWindows, Window
from tests.fixtures.core import SteppingClock

THREE, MINUTE = Window("test-three", 3, 60), timedelta(minutes=1)


class MovingWindowsContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[MovingWindows]]

    @pytest.fixture
    def clock(self) -> SteppingClock:
        return SteppingClock(timedelta(0))

    @pytest.fixture
    async def windows(self, clock: SteppingClock) -> MovingWindows:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    def key(self) -> str:
        """Return a key that no other test uses on the same server."""
        return uuid4().hex

    async def test_subclasses_its_port(self, windows: MovingWindows) -> None:
        assert MovingWindows in self.adapter.__mro__
        assert type(windows) is self.adapter

    async def test_a_full_window_takes_no_event(self, windows: MovingWindows, key: str) -> None:
        assert [await windows.hit(THREE, key) for _ in range(5)] == [True, True, True, False, False]

    async def test_kinds_and_keys_are_counted_apart(self, windows: MovingWindows, key: str) -> None:
        for _ in range(3):
            await windows.hit(THREE, key)
        assert await windows.hit(THREE, f"{key} 2")
        assert await windows.hit(Window("test-other", 3, 60), key)

    async def test_the_window_moves(self, windows: MovingWindows, clock: SteppingClock, key: str) -> None:
        for _ in range(3):
            assert await windows.hit(THREE, key)
            clock.advance(MINUTE / 3 + timedelta(seconds=1))
        # The first event has left it, and the others leave it one by one: no edge lets six through.
        assert [await windows.hit(THREE, key) for _ in range(2)] == [True, False]
        clock.advance(MINUTE / 3)
        assert [await windows.hit(THREE, key) for _ in range(2)] == [True, False]

    async def test_several_events_are_counted_together_or_not_at_all(self, windows: MovingWindows, key: str) -> None:
        assert await windows.hit(THREE, key, 2)
        assert not await windows.hit(THREE, key, 2)
        assert await windows.wait_s(THREE, key) == 0
        assert await windows.wait_s(THREE, key, 2) == pytest.approx(60)
        assert await windows.hit(THREE, key)
        await windows.release(THREE, key, 2)
        assert await windows.hit(THREE, key, 2)
        await windows.release(THREE, key, 9)
        assert await windows.hit(THREE, key, 3)

    async def test_what_is_refused_is_not_counted(self, windows: MovingWindows, clock: SteppingClock, key: str) -> None:
        for _ in range(3):
            await windows.hit(THREE, key)
        clock.advance(MINUTE / 2)
        assert not await windows.hit(THREE, key)
        clock.advance(MINUTE / 2 + timedelta(seconds=1))
        assert [await windows.hit(THREE, key) for _ in range(3)] == [True] * 3

    async def test_the_newest_event_is_taken_back(self, windows: MovingWindows, clock: SteppingClock, key: str) -> None:
        for _ in range(3):
            await windows.hit(THREE, key)
            clock.advance(timedelta(seconds=10))
        await windows.release(THREE, key)
        assert await windows.wait_s(THREE, key) == 0
        assert [await windows.hit(THREE, key) for _ in range(2)] == [True, False]
        clock.advance(timedelta(seconds=31))
        assert [await windows.hit(THREE, key) for _ in range(2)] == [True, False]

    async def test_there_may_be_no_event_to_take_back(self, windows: MovingWindows, key: str) -> None:
        await windows.release(THREE, key)
        assert [await windows.hit(THREE, key) for _ in range(4)] == [True] * 3 + [False]
        for _ in range(5):
            await windows.release(THREE, key)
        assert [await windows.hit(THREE, key) for _ in range(4)] == [True] * 3 + [False]

    async def test_the_wait_is_that_for_the_oldest_event_to_leave(
        self, windows: MovingWindows, clock: SteppingClock, key: str
    ) -> None:
        for _ in range(3):
            assert await windows.wait_s(THREE, key) == 0
            await windows.hit(THREE, key)
            clock.advance(timedelta(seconds=10))
        assert await windows.wait_s(THREE, key) == pytest.approx(30)
        clock.advance(timedelta(seconds=30.1))
        assert await windows.wait_s(THREE, key) == 0

    async def test_events_of_one_moment_count_one_after_the_other(self, windows: MovingWindows, key: str) -> None:
        hits = await asyncio.gather(*(windows.hit(THREE, key) for _ in range(50)))
        assert hits.count(True) == 3
