"""Prices that are raised to what pictures have cost already."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pixyproxy.adapters.memory.ledger import MemoryLedger
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.application.money import learned_prices
from pixyproxy.application.money.learned_prices import LearnedPrices
from pixyproxy.domain.money.costs import CostState
from pixyproxy.domain.money.highest_costs import Choice
from pixyproxy.domain.money.prices import Price, PricedRequest
from tests.fixtures.core import FixedPriceList, SteppingClock
from tests.fixtures.images import NOW

PRICED = Price(Decimal("0.10"), Decimal("0.05"), CostState.PRICED, "table")
UNPRICED = Price(None, None, CostState.UNPRICED)
FREE = Price(Decimal(0), Decimal(0), CostState.PRICED, "sketch")
CHOICE = Choice("model-1", "1024x1024", None)


class OnePrice(FixedPriceList):
    def __init__(self, price: Price) -> None:
        super().__init__()
        self.price = price

    async def price_of(self, request: PricedRequest, at: Any) -> Price:
        return self.price


class Prices:
    """Learned prices with everything they stand on."""

    def __init__(self, price: Price) -> None:
        self.storage, self.clock = MemoryStorage(), SteppingClock()
        self.listed = OnePrice(price)
        self.learned = LearnedPrices(self.listed, MemoryLedger(self.storage), self.clock, "model-1")

    async def price(self, model: str | None = "model-1", n: int = 1, **options: object) -> Price:
        return await self.learned.price_of(PricedRequest(model, "x", {"size": "1024x1024", **options}, n), NOW)


@pytest.mark.parametrize("usd", ["0.02", "0.10"])
async def test_a_lower_cost_changes_nothing(usd: str) -> None:
    prices = Prices(PRICED)
    prices.storage.highest_costs[CHOICE] = Decimal(usd)
    assert await prices.price() == PRICED


async def test_a_higher_cost_raises_the_highest_price() -> None:
    prices = Prices(PRICED)
    prices.storage.highest_costs[CHOICE] = Decimal("0.11")
    raised = Price(Decimal("0.11"), Decimal("0.05"), CostState.PRICED, "table")
    assert await prices.price() == await prices.price(None) == await prices.price(quality="auto") == raised
    assert (await prices.price(n=3)).usd_max == Decimal("0.33")
    for other in (await prices.price("model-2"), await prices.price(quality="high"), await prices.price(size="auto")):
        assert other == PRICED


async def test_a_model_without_a_price_costs_what_it_did() -> None:
    prices = Prices(UNPRICED)
    assert await prices.price() == UNPRICED
    prices = Prices(UNPRICED)
    prices.storage.highest_costs[CHOICE] = Decimal("0.04")
    assert await prices.price(n=2) == Price(Decimal("0.08"), Decimal("0.08"), CostState.ESTIMATED, "own usage")


async def test_what_is_free_stays_free_and_is_not_looked_up() -> None:
    prices = Prices(FREE)
    prices.storage.highest_costs[CHOICE] = Decimal("0.04")
    assert await prices.price() == FREE


async def test_a_cost_is_remembered_for_a_minute_whatever_the_clock_does() -> None:
    prices = Prices(PRICED)
    assert await prices.price() == PRICED
    prices.storage.highest_costs[CHOICE] = Decimal("0.11")
    assert await prices.price() == PRICED
    prices.clock.advance(timedelta(minutes=1, seconds=1))
    assert (await prices.price()).usd_max == Decimal("0.11")
    prices.storage.highest_costs[CHOICE] = Decimal("0.12")
    prices.clock.advance(-timedelta(days=1))
    assert (await prices.price()).usd_max == Decimal("0.12")


async def test_few_choices_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_prices, "_MAX_CHOICES", 2)
    prices = Prices(PRICED)
    for number in range(5):
        await prices.price(f"model-{number}")
        assert len(prices.learned._known) <= 2
