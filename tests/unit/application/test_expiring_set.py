"""A set that forgets."""

from datetime import timedelta

from pixyproxy.application.expiring_set import ExpiringSet
from tests.fixtures.core import SteppingClock


def test_values_are_forgotten_after_a_while_and_the_oldest_make_room() -> None:
    clock = SteppingClock(timedelta(0))
    values = ExpiringSet(clock, timedelta(seconds=10), limit=2)
    values.add("a")
    clock.advance(timedelta(seconds=9))
    assert "a" in values
    values.add("b")
    values.add("a")
    values.add("c")
    assert ("a" in values, "b" in values, "c" in values) == (True, False, True)
    clock.advance(timedelta(seconds=10))
    assert ("a" in values, "c" in values) == (False, False)
