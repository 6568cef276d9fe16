"""Measure alternatives in turns, so that other load on the machine affects all of them alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a report: a measured value, the base it is compared with, their ratio and its aim, if it has one."""

    what: str
    value: float
    base: float
    ratio: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """True if the ratio meets its aim, None if it has none."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        if self.at_most is not None:
            return self.ratio <= self.at_most
        return None


@dataclass(frozen=True, slots=True)
class Report:
    """The lines of one table, their unit, and the name of the base they are compared with."""

    title: str
    unit: str
    against: str
    rows: list[Row]


def in_turns(samples: Sequence[Callable[[], T]], rounds: int, on_step: Callable[[], None]) -> list[list[T]]:
    """Return the results of each sample, taken in rounds: A B C, C B A, A B C, …"""
    for sample in samples:  # warm-up: first connections, passwords not cached yet
        sample()
    found: list[list[T]] = [[] for _ in samples]
    for number in range(rounds):
        order = range(len(samples))
        for i in order if number % 2 == 0 else reversed(order):
            found[i].append(samples[i]())
            on_step()
    return found


def ratio(values: Sequence[float], bases: Sequence[float]) -> float:
    """Return the median of the ratios of all rounds, each of which compares values of the same seconds."""
    return median(value / base for value, base in zip(values, bases, strict=True))
