"""Prices that are raised to what pictures of the same model, size and quality have cost already."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pixyproxy.domain.money.costs import Cost
from pixyproxy.domain.money.highest_costs import Choice, choice_of
from pixyproxy.domain.money.prices import Price, PricedRequest
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.money.ledger import Ledger
from pixyproxy.ports.money.price_list import PriceList

_REMEMBERED = timedelta(minutes=1)
_MAX_CHOICES = 1000


class LearnedPrices(PriceList):
    """A price list whose highest prices are not below the costs that the ledger has seen.

    A cost that another process has seen counts after a minute at the latest.
    """

    def __init__(self, prices: PriceList, ledger: Ledger, clock: Clock, default_model: str) -> None:
        self._prices = prices
        self._ledger = ledger
        self._clock = clock
        self._default_model = default_model
        self._known: dict[Choice, tuple[Decimal | None, datetime]] = {}

    async def price_of(self, request: PricedRequest, at: datetime) -> Price:
        price = await self._prices.price_of(request, at)
        choice = choice_of(request.model or self._default_model, request.options)
        if price.usd_max == 0 or choice is None:
            return price  # free
        seen = await self._highest_cost(choice)
        return price if seen is None else price.raised_to(seen, request.n)

    async def cost_of(
        self,
        request: PricedRequest,
        at: datetime,
        usage: Mapping[str, Any] | None,
        reported: Mapping[str, Any] | None = None,
    ) -> Cost:
        return await self._prices.cost_of(request, at, usage, reported)

    async def _highest_cost(self, choice: Choice) -> Decimal | None:
        now = self._clock.now()
        usd, until = self._known.get(choice, (None, now))
        # A clock that jumps back must not keep an entry for longer.
        if not now < until <= now + _REMEMBERED:
            usd = await self._ledger.highest_cost(choice)
            if len(self._known) >= _MAX_CHOICES:
                self._known.clear()
            self._known[choice] = (usd, now + _REMEMBERED)
        return usd
