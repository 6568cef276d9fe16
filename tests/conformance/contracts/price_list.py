"""Conformance suite of the port PriceList.

An adapter's suite subclasses `PriceListContract` and supplies the fixture `prices`, a list that has a price for the
models `priced` and none for the model `unpriced`.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from pixyproxy.domain.image import Picture
from pixyproxy.domain.money.amounts import round_cost
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.prices import Price, PricedRequest
from pixyproxy.ports.money.price_list import PriceList

AT = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
SIZES = (None, "auto", "1024x1024", "1536x1024", "3840x2160")
QUALITIES = (None, "auto", "low", "high")
SOURCE = Picture("image/png", 1024, 1024)
MALFORMED: list[Any] = [None, {}, {"output_tokens": -1}, {"input_tokens": 1, "output_tokens": "many"}]


def usd(amount: Price | Cost) -> Decimal:
    found = amount.usd_max if isinstance(amount, Price) else amount.usd
    assert found is not None
    return found


class PriceListContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[PriceList]]
    priced: ClassVar[tuple[str, ...]]
    unpriced: ClassVar[str]

    @pytest.fixture
    def prices(self) -> PriceList:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    def test_subclasses_its_port(self, prices: PriceList) -> None:
        assert PriceList in self.adapter.__mro__
        assert type(prices) is self.adapter

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("quality", QUALITIES)
    async def test_prices_are_whole_micro_dollars_and_the_typical_one_is_not_above(
        self, prices: PriceList, size: str | None, quality: str | None
    ) -> None:
        for model in self.priced:
            price = await prices.price_of(PricedRequest(model, "x", {"size": size, "quality": quality}), AT)
            assert price.usd_typical is not None
            assert usd(price) == round_cost(usd(price)) >= price.usd_typical >= 0
            assert price.source

    async def test_the_price_is_in_proportion_to_the_number_of_pictures(self, prices: PriceList) -> None:
        for model in self.priced:
            one, ten = [await prices.price_of(PricedRequest(model, "x", n=n), AT) for n in (1, 10)]
            assert abs(usd(ten) - 10 * usd(one)) <= Decimal("0.00001")

    async def test_sources_and_partial_images_never_make_it_cheaper(self, prices: PriceList) -> None:
        for model in self.priced:
            plain = usd(await prices.price_of(PricedRequest(model, "x"), AT))
            for partial_images in (1, 3, "many"):
                request = PricedRequest(model, "x", {"partial_images": partial_images}, 1, (SOURCE, SOURCE))
                assert usd(await prices.price_of(request, AT)) >= plain

    @pytest.mark.parametrize("name", ["size", "quality"])
    async def test_an_open_choice_has_the_price_of_the_dearest(self, prices: PriceList, name: str) -> None:
        for model in self.priced:
            values = SIZES if name == "size" else QUALITIES
            found = [usd(await prices.price_of(PricedRequest(model, "x", {name: value}), AT)) for value in values]
            assert found[0] == found[1] == max(found)
            assert found[0] == usd(await prices.price_of(PricedRequest(model, "x"), AT))

    async def test_an_unknown_model_is_unpriced(self, prices: PriceList) -> None:
        request = PricedRequest(self.unpriced, "x")
        assert await prices.price_of(request, AT) == Price(None, None, CostState.UNPRICED)
        assert await prices.cost_of(request, AT, {"input_tokens": 1, "output_tokens": 1}) == Cost(
            None, CostState.UNPRICED
        )

    @pytest.mark.parametrize("usage", MALFORMED)
    async def test_a_cost_is_never_unknown_for_a_known_price(self, prices: PriceList, usage: Any) -> None:
        for model in self.priced:
            request = PricedRequest(model, "x", {"size": "1024x1024", "quality": "high"}, 2)
            cost = await prices.cost_of(request, AT, usage)
            assert usd(cost) == usd(await prices.price_of(request, AT))
            assert cost.state in {CostState.PRICED, CostState.ESTIMATED}

    async def test_a_cost_has_its_source_and_its_day(self, prices: PriceList) -> None:
        for model in self.priced:
            cost = await prices.cost_of(PricedRequest(model, "x"), AT, {"input_tokens": 1, "output_tokens": 1})
            assert (cost.source is not None, cost.prices_of) == (True, AT.date())

    async def test_options_that_were_used_go_before_those_of_the_request(self, prices: PriceList) -> None:
        for model in self.priced:
            used = {"size": "1024x1024", "quality": "low", "background": None}
            asked = await prices.cost_of(PricedRequest(model, "x", used), AT, None)
            reported = await prices.cost_of(PricedRequest(model, "x", {"size": "auto"}), AT, None, used)
            assert reported == asked
