"""Daily sums: what a charge counts as, and which questions may be asked."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.money.charges import Charge, ChargeState
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.domain.money.daily_sums import (
    FIRST_DAY,
    Grouping,
    SumKey,
    Tally,
    UsageQuery,
    differences,
    key_of,
    tally_of,
)

DAY = date(2026, 11, 30)
CHARGE = Charge("guid", "alice", "9a", None, datetime(2026, 11, 30, 23, 59, tzinfo=UTC), Decimal("0.25"))
MADE = replace(
    CHARGE,
    model="model-1",
    state=ChargeState.PRICED,
    cost=Cost(Decimal("0.02"), CostState.PRICED),
    tokens_in=3,
    tokens_out=5,
)


def test_a_charge_that_ends_is_added_under_the_model_of_its_picture() -> None:
    assert differences([(CHARGE, MADE)]) == {SumKey(DAY, "alice", "9a", "model-1"): tally_of(MADE)}
    assert differences([(None, CHARGE)]) == {}
    assert differences([(MADE, MADE)]) == {}


def test_a_charge_that_ends_otherwise_moves() -> None:
    unknown = replace(CHARGE, state=ChargeState.POSSIBLY_BILLED, cost=Cost(Decimal("0.25"), CostState.POSSIBLY_BILLED))
    assert differences([(unknown, MADE)]) == {
        SumKey(DAY, "alice", "9a", None): Tally(unknown=-1, possibly=Decimal("-0.25")),
        SumKey(DAY, "alice", "9a", "model-1"): tally_of(MADE),
    }


@pytest.mark.parametrize("state", list(ChargeState))
def test_every_state_counts_as_one_thing(state: ChargeState) -> None:
    cost = None if state in {ChargeState.RESERVED, ChargeState.RELEASED} else MADE.cost
    total = tally_of(replace(MADE, state=state, cost=cost))
    assert total.pictures + total.failed + total.unknown == (0 if state is ChargeState.RESERVED else 1)
    amounts = replace(MADE, state=state, cost=cost).amounts
    assert (total.spent, total.reserved, total.possibly) == (amounts.spent, amounts.reserved, amounts.possibly)


def test_a_day_is_that_of_utc() -> None:
    moved = replace(CHARGE, reserved_at=datetime.fromisoformat("2026-12-01T00:30:00+02:00"))
    assert key_of(moved).day == DAY


def test_a_sum_and_its_difference_cover_every_field() -> None:
    one = tally_of(MADE)
    assert one.plus(one).minus(one) == one
    assert one.minus(one) == Tally()
    twice = one.plus(one)
    assert all(getattr(twice, field.name) == 2 * getattr(one, field.name) for field in fields(Tally))


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), "to must not be before `from`"),
        (date(2025, 11, 1), date(2026, 11, 2), "from must be within 366 days of `to`"),
    ],
)
def test_a_wrong_range_says_what_is_right(first: date, last: date, words: str) -> None:
    with pytest.raises(DataValidationError, match=words):
        UsageQuery(Grouping.DAY, first, last)


def test_a_leap_year_is_one_question() -> None:
    UsageQuery(Grouping.DAY, date(2028, 1, 1), date(2028, 12, 31))


def test_one_sum_of_one_caller_may_be_about_any_number_of_days() -> None:
    UsageQuery(Grouping.USER, FIRST_DAY, date(2026, 11, 1), "alice")
    for grouping, caller in ((Grouping.USER, None), (Grouping.DAY, "alice"), (Grouping.MODEL, "alice")):
        with pytest.raises(DataValidationError):
            UsageQuery(grouping, FIRST_DAY, date(2026, 11, 1), caller)
