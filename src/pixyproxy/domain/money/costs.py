"""The cost of a call after it, and the certainty of an amount."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pixyproxy.domain.money.amounts import MAX_USD, format_usd, is_amount, split_usd


class CostState(StrEnum):
    """The certainty of an amount."""

    PRICED = "priced"
    ESTIMATED = "estimated"
    """From the highest price, because the upstream reported too little."""
    UNPRICED = "unpriced"
    """No price is known: the amount is None, never 0."""
    POSSIBLY_BILLED = "possibly-billed"
    SETTLED = "settled"
    """Decided by a person."""


def check_amount(usd: Decimal | None, state: CostState) -> None:
    """Raise ValueError unless an amount fits its state and is one in whole micro-dollars."""
    if (usd is None) is not (state is CostState.UNPRICED):
        raise ValueError("an amount is None if it is unpriced, and only then")
    if usd is not None and not is_amount(usd):
        raise ValueError(f"{usd} is not an amount in whole micro-dollars from 0 to {MAX_USD}")


def sum_costs(costs: "Iterable[Cost | None]") -> Decimal | None:
    """Return the sum of amounts, None if one of them is not known."""
    amounts = [None if cost is None else cost.usd for cost in costs]
    known = [usd for usd in amounts if usd is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a call after it, with the source of its price and the day whose prices were used.

    Source and day are enough to compute a bill again, also where prices are dated.
    """

    usd: Decimal | None
    state: CostState
    source: str | None = None
    prices_of: date | None = None

    def __post_init__(self) -> None:
        check_amount(self.usd, self.state)

    def as_json(self) -> dict[str, str | None]:
        """Return JSON types, the amount as decimal text."""
        return {
            "usd": format_usd(self.usd),
            "state": self.state.value,
            "source": self.source,
            "prices_of": None if self.prices_of is None else self.prices_of.isoformat(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Cost":
        """Return the cost that `as_json` wrote."""
        usd, day = data["usd"], data["prices_of"]
        return cls(
            None if usd is None else Decimal(usd),
            CostState(data["state"]),
            data["source"],
            None if day is None else date.fromisoformat(day),
        )

    def split(self, pictures: int) -> list["Cost"]:
        """Return the share of each picture; the shares add up exactly."""
        if self.usd is None:
            return [self] * pictures
        return [replace(self, usd=share) for share in split_usd(self.usd, pictures)]
