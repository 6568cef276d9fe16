"""Amounts are whole micro-dollars, and shares add up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.money.amounts import MAX_USD, format_usd, round_bound, round_cost, split_usd
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.prices import Price

AMOUNTS = st.integers(0, 10**12).map(lambda micros: Decimal(micros).scaleb(-6))


@given(usd=AMOUNTS, parts=st.integers(1, 10))
def test_a_split_adds_up_exactly_and_is_even(usd: Decimal, parts: int) -> None:
    shares = split_usd(usd, parts)
    assert len(shares) == parts
    assert sum(shares) == usd
    assert max(shares) - min(shares) <= Decimal("0.000001")
    assert shares == sorted(shares, reverse=True)


@given(usd=AMOUNTS, pictures=st.integers(1, 10))
def test_the_cost_of_a_call_is_that_of_its_pictures(usd: Decimal, pictures: int) -> None:
    shares = Cost(usd, CostState.PRICED, "x").split(pictures)
    assert sum(share.usd for share in shares if share.usd is not None) == usd
    assert {share.source for share in shares} == {"x"}


def test_an_unpriced_call_has_unpriced_pictures() -> None:
    assert Cost(None, CostState.UNPRICED).split(2) == [Cost(None, CostState.UNPRICED)] * 2


def test_costs_are_rounded_to_the_nearest_and_bounds_up() -> None:
    assert round_cost(Decimal("0.0000005")) == Decimal("0.000001")
    assert round_cost(Decimal("0.00000149")) == Decimal("0.000001")
    assert round_bound(Decimal("0.00000101")) == Decimal("0.000002")


def test_amounts_are_written_with_six_places() -> None:
    assert format_usd(Decimal("0.03174")) == "0.031740"
    assert format_usd(Decimal(0)) == "0.000000"
    assert format_usd(MAX_USD) == "1000000.000000"
    assert format_usd(None) is None


@pytest.mark.parametrize("usd", ["-0.000001", "0.0000001", "1000000.000001", "NaN"])
def test_no_amount_is_negative_finer_or_beyond_bounds(usd: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        Cost(Decimal(usd), CostState.PRICED)


def test_unpriced_has_no_amount_and_nothing_else_is_without() -> None:
    for usd, state in ((None, CostState.PRICED), (Decimal(0), CostState.UNPRICED)):
        with pytest.raises(ValueError, match="unpriced"):
            Cost(usd, state)
        with pytest.raises(ValueError, match="unpriced"):
            Price(usd, usd, state)


def test_the_typical_price_is_not_above_the_highest() -> None:
    with pytest.raises(ValueError, match="above"):
        Price(Decimal(1), Decimal(2), CostState.PRICED)
