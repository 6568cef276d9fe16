"""Conformance suite of the port Clock.

An adapter's suite subclasses `ClockContract` and supplies the fixture `clock`.
"""

import inspect
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from pixyproxy.ports.clock import Clock


class ClockContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[Clock]]

    @pytest.fixture
    def clock(self) -> Clock:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    def test_subclasses_its_port(self, clock: Clock) -> None:
        assert Clock in self.adapter.__mro__
        assert type(clock) is self.adapter

    def test_the_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        now = clock.now()
        assert isinstance(now, datetime)
        assert now.tzinfo is UTC
        assert now.utcoffset() == timedelta(0)

    def test_it_is_no_coroutine(self, clock: Clock) -> None:
        assert not inspect.iscoroutinefunction(clock.now)
        assert not inspect.isawaitable(clock.now())
