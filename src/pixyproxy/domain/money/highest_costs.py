"""Highest costs: what pictures of a model, size and quality have cost at most, where that was not expected."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from pixyproxy.domain.money.charges import Charge
from pixyproxy.domain.money.costs import CostState

_MAX_CHARS = 255


class Choice(NamedTuple):
    """A model, and the size and quality that a request names; None: left to the model."""

    model: str
    size: str | None
    quality: str | None


def choice_of(model: str | None, options: Mapping[str, Any]) -> Choice | None:
    """Return the choice of a request, None if its model is not known."""
    name = _text(model)
    return None if name is None else Choice(name, _text(options.get("size")), _text(options.get("quality")))


def surprising_cost(charge: Charge, options: Mapping[str, Any]) -> tuple[Choice, Decimal] | None:
    """Return choice and cost of a picture that cost more than was reserved for it, None for any other."""
    cost, choice = charge.cost, choice_of(charge.model, options)
    if choice is None or cost is None or cost.usd is None or cost.state is not CostState.PRICED:
        return None
    return (choice, cost.usd) if charge.reserved_usd is None or cost.usd > charge.reserved_usd else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value != "auto" and 0 < len(value) <= _MAX_CHARS else None
