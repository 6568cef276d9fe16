"""SystemClock: the port's contract."""

from datetime import UTC, datetime

import pytest

from pixyproxy.adapters.system.clock import SystemClock
from tests.conformance.contracts.clock import ClockContract


class TestSystemClock(ClockContract):
    adapter = SystemClock

    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()

    def test_the_time_zone_of_the_machine_does_not_matter(
        self, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        before = datetime.now(UTC)
        assert before <= clock.now() <= datetime.now(UTC)

    def test_it_has_microseconds(self, clock: SystemClock) -> None:
        assert any(clock.now().microsecond % 1000 for _ in range(1000))
