"""Amounts of money and places in the queue in words."""

from decimal import Decimal

import pytest

from pixyproxy.domain.generation import QueuePlace
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.entrypoints.http.pages.texts import cost_text, place_text, usd_text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0.00"),
        ("0.000001", "less than $0.001"),
        ("0.001", "$0.001"),
        ("0.031740", "$0.032"),
        ("0.1", "$0.10"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_amounts(usd: str, text: str) -> None:
    assert usd_text(Decimal(usd)) == text


@pytest.mark.parametrize(
    ("usd", "state", "text"),
    [
        ("0.5", CostState.PRICED, "$0.50"),
        ("0", CostState.PRICED, "free"),
        ("0.5", CostState.ESTIMATED, "$0.50, estimated"),
        (None, CostState.UNPRICED, "unpriced: no price is known"),
        ("0.5", CostState.POSSIBLY_BILLED, "possibly billed, up to $0.50"),
        ("0", CostState.SETTLED, "$0.00, settled by hand"),
    ],
)
def test_costs_say_how_certain_they_are(usd: str | None, state: CostState, text: str) -> None:
    assert cost_text(Cost(None if usd is None else Decimal(usd), state)) == text


def test_every_state_of_a_cost_has_words() -> None:
    for state in CostState:
        assert cost_text(Cost(None if state is CostState.UNPRICED else Decimal(1), state))
    assert cost_text(None) == ""


@pytest.mark.parametrize(
    ("position", "eta_s", "text"),
    [
        (1, None, "1st in line"),
        (2, 1, "2nd in line, about 1 s"),
        (3, 99, "3rd in line, about 99 s"),
        (4, 100, "4th in line, about 2 min"),
        (11, None, "11th in line"),
        (21, None, "21st in line"),
        (112, 1800, "112th in line, about 30 min"),
    ],
)
def test_places_in_the_queue(position: int, eta_s: int | None, text: str) -> None:
    assert place_text(QueuePlace(position, eta_s)) == text
    assert place_text(None) == ""
