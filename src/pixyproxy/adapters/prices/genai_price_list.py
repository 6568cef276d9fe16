"""Price list from the operator's entries and the table that the package genai-prices ships."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from pixyproxy.adapters.prices.price_file import PriceEntry
from pixyproxy.domain.money.amounts import MAX_USD, round_bound, round_cost
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.prices import Price, PricedRequest
from pixyproxy.ports.money.price_list import PriceList

if TYPE_CHECKING:
    from pixyproxy.adapters.prices.rates import Rates

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _ModelPrices:
    """The prices known of a model: rates, or a bound per picture, or both; None and None if it is unpriced."""

    rates: "Rates | None" = None
    source: str | None = None
    ceiling_usd: Decimal | None = None
    reported: bool = False


class GenaiPriceList(PriceList):
    """Prices by the first entry that covers a model, else by the shipped table.

    The package is imported when it is first needed, in a thread: that takes half a second and 20 MB. Later prices
    take less time than a thread does to begin.
    """

    def __init__(self, entries: Sequence[PriceEntry], default_model: str, upstream_url: str | None) -> None:
        """Take the entries, and the address of the API whose models the table prices; None: without the table."""
        self._entries = tuple(entries)
        self._default_model = default_model
        self._upstream_url = upstream_url
        self._is_imported = False

    async def price_of(self, request: PricedRequest, at: datetime) -> Price:
        """Return the price of a request before a call."""
        return await self._computed(lambda: _price_of(self._prices_of(request, at), request))

    async def cost_of(
        self,
        request: PricedRequest,
        at: datetime,
        usage: Mapping[str, Any] | None,
        reported: Mapping[str, Any] | None = None,
    ) -> Cost:
        """Return the cost of a call."""
        used = {name: value for name, value in (reported or {}).items() if value is not None}
        made = replace(request, options={**request.options, **used})
        return await self._computed(lambda: _cost_of(self._prices_of(made, at), made, at, usage))

    async def _computed(self, compute: Callable[[], _T]) -> _T:
        if self._is_imported:
            return compute()
        result = await asyncio.to_thread(compute)
        self._is_imported = True
        return result

    def _prices_of(self, request: PricedRequest, at: datetime) -> _ModelPrices:
        from pixyproxy.adapters.prices import rates

        model = request.model or self._default_model
        entry = next((entry for entry in self._entries if entry.covers(model)), None)
        if entry is None:
            return self._shipped(model, at)
        if entry.free:
            return _ModelPrices(rates.FreeRates(), entry.source)
        if entry.usd_per_image is not None:
            return _ModelPrices(rates.PictureRates(entry.usd_per_image), entry.source, entry.ceiling_usd)
        if entry.usd_per_million is not None:
            token_rates = rates.TokenRates.per_million(model, entry.usd_per_million)
            return _ModelPrices(token_rates, entry.source, entry.ceiling_usd)
        shipped = self._shipped(model, at)
        return replace(
            shipped, source=shipped.source or entry.source, ceiling_usd=entry.ceiling_usd, reported=entry.reported
        )

    def _shipped(self, model: str, at: datetime) -> _ModelPrices:
        if self._upstream_url is None:
            return _ModelPrices()
        from pixyproxy.adapters.prices import rates, shipped_table

        found = shipped_table.find_price(self._upstream_url, model, at)
        return _ModelPrices() if found is None else _ModelPrices(rates.TokenRates(model, found[0]), found[1])


def _price_of(prices: _ModelPrices, request: PricedRequest) -> Price:
    highest = typical = None
    if prices.rates is not None:
        highest, typical = prices.rates.highest(request), prices.rates.typical(request)
    if prices.ceiling_usd is not None:
        highest = prices.ceiling_usd * request.n
    if highest is None:
        return Price(None, None, CostState.UNPRICED)
    usd_max = round_bound(min(highest, MAX_USD))
    usd_typical = usd_max if typical is None else min(round_bound(typical), usd_max)
    return Price(usd_max, usd_typical, CostState.ESTIMATED if typical is None else CostState.PRICED, prices.source)


def _cost_of(prices: _ModelPrices, made: PricedRequest, at: datetime, usage: Mapping[str, Any] | None) -> Cost:
    from pixyproxy.adapters.prices import rates

    day = at.astimezone(UTC).date()
    if prices.reported and (told := rates.reported_cost(usage)) is not None:
        return Cost(round_cost(told), CostState.PRICED, "upstream", day)
    if prices.rates is not None and (usd := prices.rates.cost(made, usage)) is not None:
        return Cost(round_cost(usd), CostState.PRICED, prices.source, day)
    highest = _price_of(prices, made)
    if highest.usd_max is None:
        return Cost(None, CostState.UNPRICED)
    return Cost(highest.usd_max, CostState.ESTIMATED, highest.source, day)
