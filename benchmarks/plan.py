"""The lengths of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds and seconds of a run.

    `in_flight_s`, the time of reads beside waiting generations, must end before these generations do.
    """

    rounds: int
    sample_s: float
    latency_rounds: int
    in_flight_s: float
    gateway_rounds: int
    gateway_sample_s: float


FULL = Plan(rounds=11, sample_s=0.4, latency_rounds=3, in_flight_s=2.3, gateway_rounds=5, gateway_sample_s=2.0)
QUICK = Plan(rounds=3, sample_s=0.2, latency_rounds=1, in_flight_s=2.3, gateway_rounds=2, gateway_sample_s=1.0)


@dataclass(frozen=True, slots=True)
class Bench:
    """The plan and folder of a run, and functions that report a step, the current activity, or a remark."""

    plan: Plan
    folder: Path
    on_step: Callable[[], None]
    tell: Callable[[str], None]
    note: Callable[[str], None]
