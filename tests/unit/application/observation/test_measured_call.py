"""The times of a call, and the calls in flight."""

import time
from datetime import timedelta

import pytest

from pixyproxy.adapters.prometheus.metrics import PrometheusMetrics
from pixyproxy.application.observation.measured_call import MeasuredCall
from pixyproxy.ports.observation.metrics import CallTimes, Survey
from tests.fixtures.images import NOW, make_image
from tests.fixtures.prometheus import samples


class Recording(PrometheusMetrics):
    def __init__(self) -> None:
        super().__init__()
        self.ended: list[tuple[str, CallTimes]] = []

    def call_ended(self, generator: str, times: CallTimes) -> None:
        super().call_ended(generator, times)
        self.ended.append((generator, times))


async def in_flight(metrics: PrometheusMetrics) -> float:
    return samples(await metrics.exposition(Survey(available=False)))["pixyproxy_calls_in_flight"]


async def test_the_times_of_a_call_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, now = Recording(), 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    with MeasuredCall(metrics, make_image(created_at=NOW), NOW + timedelta(seconds=7)) as call:
        assert await in_flight(metrics) == 1
        for _ in range(2):
            with call.upstream():
                now += 3
            now += 0.25
    assert await in_flight(metrics) == 0
    assert metrics.ended == [("sketch", CallTimes(waited_s=7, upstream_s=6, own_s=0.5))]


async def test_a_call_that_fails_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, now = Recording(), 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def fail() -> None:
        nonlocal now
        with MeasuredCall(metrics, make_image(), NOW) as call, call.upstream():
            now += 3
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert await in_flight(metrics) == 0
    assert metrics.ended == [("sketch", CallTimes(0, 3, 0))]


def test_a_clock_that_was_set_back_makes_no_negative_wait() -> None:
    metrics = Recording()
    with MeasuredCall(metrics, make_image(created_at=NOW), NOW - timedelta(seconds=7)):
        pass
    [(_, times)] = metrics.ended
    assert times.waited_s == 0
