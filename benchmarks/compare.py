"""Measures alternatives in turns, so that what the machine does besides touches all of them alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report: what was measured and its base, and the aim for the ratio.

    `at_least` and `at_most` are what the ratio is meant to keep, None where there is no aim.
    """

    what: str
    value: float
    base: float
    ratio: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        if self.at_most is not None:
            return self.ratio <= self.at_most
        return None


@dataclass(frozen=True, slots=True)
class Report:
    """The lines of one part: their unit and what each is compared with."""

    title: str
    unit: str
    against: str
    rows: list[Row]


def in_turns(samples: Sequence[Callable[[], T]], rounds: int, on_step: Callable[[], None]) -> list[list[T]]:
    """What each of the samples measured, round by round: A B C, C B A, A B C, …"""
    for sample in samples:  # once for nothing: first connections, passwords not yet remembered
        sample()
    found: list[list[T]] = [[] for _ in samples]
    for number in range(rounds):
        order = range(len(samples))
        for i in order if number % 2 == 0 else reversed(order):
            found[i].append(samples[i]())
            on_step()
    return found


def ratio(values: Sequence[float], bases: Sequence[float]) -> float:
    """The median of the ratios of the rounds: each compares what was measured within the same seconds."""
    return median(value / base for value, base in zip(values, bases, strict=True))
