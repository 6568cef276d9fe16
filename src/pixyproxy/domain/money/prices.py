"""The price of a request before its call."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pixyproxy.domain.image import Picture
from pixyproxy.domain.money.amounts import MAX_USD, split_usd
from pixyproxy.domain.money.charges import Reservation
from pixyproxy.domain.money.costs import CostState, check_amount

OWN_USAGE = "own usage"
"""The source of a price that is known only from what pictures have cost."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a request before its call: what it may cost at most, and what it typically costs."""

    usd_max: Decimal | None
    usd_typical: Decimal | None
    state: CostState
    source: str | None = None

    def __post_init__(self) -> None:
        check_amount(self.usd_max, self.state)
        check_amount(self.usd_typical, self.state)
        if self.usd_max is not None and self.usd_typical is not None and self.usd_typical > self.usd_max:
            raise ValueError("the typical price is above the highest one")

    def raised_to(self, usd: Decimal, pictures: int) -> "Price":
        """Return this price with a highest one of at least this amount per picture; `estimated` if none was known."""
        highest = min(usd * pictures, MAX_USD)
        if self.usd_max is not None:
            return self if highest <= self.usd_max else replace(self, usd_max=highest)
        return Price(highest, highest, CostState.ESTIMATED, OWN_USAGE)

    def reservations(self, pictures: int) -> list[Reservation]:
        """Return the share of each picture in the highest price; the shares add up exactly."""
        if self.usd_max is None:
            return [Reservation(None)] * pictures
        return [Reservation(share, self.source) for share in split_usd(self.usd_max, pictures)]


@dataclass(frozen=True, slots=True)
class PricedRequest:
    """The parts of a request for pictures that decide its price.

    `model` None is the generator's default. `sources` are the edit sources and other pictures that are sent along.
    """

    model: str | None
    prompt: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1
    sources: tuple[Picture, ...] = ()
