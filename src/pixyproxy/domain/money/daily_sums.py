"""Usage: the charges of a day summed up by caller, class and model, and questions about these sums."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import UTC, date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.money.charges import ZERO, Charge, ChargeState

MAX_DAYS = 366
"""Days of one question at most: a whole year, and what is summed up for one response stays bounded."""
FIRST_DAY = date(1970, 1, 1)
"""A day before all charges."""


class SumKey(NamedTuple):
    """The key of a daily sum: the day (UTC) of the reservation, and caller, class and model as the charge has them."""

    day: date
    caller: str | None
    class_key: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Pictures, tokens and amounts of charges, summed up.

    `unknown` counts what may have been billed without a picture, also once a person has settled it as billed;
    `unpriced` those of the pictures without a known price, which `spent` lacks.
    """

    pictures: int = 0
    failed: int = 0
    unknown: int = 0
    unpriced: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    spent: Decimal = ZERO
    reserved: Decimal = ZERO
    possibly: Decimal = ZERO

    def plus(self, other: "Tally") -> "Tally":
        """Return the sum of both."""
        return Tally(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def minus(self, other: "Tally") -> "Tally":
        """Return the difference, whose parts may be negative."""
        return Tally(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class Grouping(StrEnum):
    """The part of the key by which daily sums are added up."""

    USER = "user"
    CLASS = "class"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A question about the days from `first` to `last`, of one caller or of one class, or of all where None.

    A single sum of one caller may be about any number of days.
    """

    by: Grouping
    first: date
    last: date
    caller: str | None = None
    class_key: str | None = None

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise DataValidationError.at(("to",), "must not be before `from`")
        is_one_row = self.by is Grouping.USER and self.caller is not None
        if (self.last - self.first).days >= MAX_DAYS and not is_one_row:
            raise DataValidationError.at(("from",), f"must be within {MAX_DAYS} days of `to`: ask for less at a time")

    def covers(self, key: SumKey) -> bool:
        """Return whether a daily sum counts."""
        return (
            self.first <= key.day <= self.last
            and self.caller in {None, key.caller}
            and self.class_key in {None, key.class_key}
        )


class UsageRow(NamedTuple):
    """The sums of one user, class, model or day (ISO 8601); None: anonymous, in no class, or the default model."""

    key: str | None
    tally: Tally


def key_of(charge: Charge) -> SumKey:
    """Return the key of the daily sum that a charge counts in."""
    return SumKey(charge.reserved_at.astimezone(UTC).date(), charge.caller, charge.class_key, charge.model)


def tally(
    state: ChargeState,
    *,
    charges: int = 1,
    reserved: Decimal = ZERO,
    cost: Decimal = ZERO,
    tokens_in: int = 0,
    tokens_out: int = 0,
) -> Tally:
    """Return the sums of charges in one state; settled ones are either all billed or all unbilled."""
    if state is ChargeState.RESERVED:
        return Tally(reserved=reserved)
    if state is ChargeState.RELEASED:
        return Tally(failed=charges)
    if state is ChargeState.POSSIBLY_BILLED:
        return Tally(unknown=charges, possibly=reserved)
    if state is ChargeState.SETTLED:
        return Tally(unknown=charges, spent=cost) if cost else Tally(failed=charges)
    unpriced = charges if state is ChargeState.UNPRICED else 0
    return Tally(charges, 0, 0, unpriced, tokens_in, tokens_out, cost)


def tally_of(charge: Charge) -> Tally:
    """Return the sums of one charge."""
    cost = None if charge.cost is None else charge.cost.usd
    return tally(
        charge.state,
        reserved=charge.reserved_usd or ZERO,
        cost=cost or ZERO,
        tokens_in=charge.tokens_in or 0,
        tokens_out=charge.tokens_out or 0,
    )


def ended_tally(charge: Charge | None) -> Tally:
    """Return the sums of a charge that has ended; nothing for one that is reserved, which no daily sum holds."""
    if charge is None or charge.state is ChargeState.RESERVED:
        return Tally()
    return tally_of(charge)


def differences(changes: Iterable[tuple[Charge | None, Charge]]) -> dict[SumKey, Tally]:
    """Return what changes of charges, each from before to after, add to the daily sums; None: it is new."""
    sums: dict[SumKey, Tally] = {}
    for before, after in changes:
        if before is not None:
            add_up(sums, key_of(before), Tally().minus(ended_tally(before)))
        add_up(sums, key_of(after), ended_tally(after))
    return {key: total for key, total in sums.items() if total != Tally()}


def usage_rows(sums: Iterable[tuple[SumKey, Tally]], query: UsageQuery) -> tuple[UsageRow, ...]:
    """Return the rows that answer a question, in their order."""
    totals: dict[str | None, Tally] = {}
    for key, total in sums:
        if query.covers(key):
            name = {
                Grouping.USER: key.caller,
                Grouping.CLASS: key.class_key,
                Grouping.MODEL: key.model,
                Grouping.DAY: key.day.isoformat(),
            }[query.by]
            totals[name] = totals.get(name, Tally()).plus(total)
    return in_order(UsageRow(name, total) for name, total in totals.items())


def in_order(rows: Iterable[UsageRow]) -> tuple[UsageRow, ...]:
    """Return the rows by their keys, that without a key last."""
    return tuple(sorted(rows, key=lambda row: (row.key is None, row.key or "")))


def add_up(sums: dict[SumKey, Tally], key: SumKey, more: Tally) -> None:
    """Add to the sum under a key."""
    sums[key] = sums.get(key, Tally()).plus(more)
