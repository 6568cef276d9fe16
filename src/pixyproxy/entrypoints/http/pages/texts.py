"""Amounts of money, places in the queue and errors, as people read them."""

from decimal import Decimal

from pixyproxy.domain.errors import DataValidationError, PixyProxyException
from pixyproxy.domain.generation import QueuePlace
from pixyproxy.domain.money.costs import Cost, CostState

_TINY = Decimal("0.001")
_SMALL = Decimal("0.1")
_COSTS = {
    CostState.PRICED: "{}",
    CostState.ESTIMATED: "{}, estimated",
    CostState.POSSIBLY_BILLED: "possibly billed, up to {}",
    CostState.SETTLED: "{}, settled by hand",
}


def usd_text(usd: Decimal) -> str:
    """Return an amount in whole cents, or with a third place if it is below 10 cents."""
    if 0 < usd < _TINY:
        return "less than $0.001"
    return f"${usd:,.3f}" if 0 < usd < _SMALL else f"${usd:,.2f}"


def cost_text(cost: Cost | None) -> str:
    """Return the cost of a picture and how certain it is, empty if nothing is known of it yet."""
    if cost is None:
        return ""
    if cost.usd is None:
        return "unpriced: no price is known"
    if cost.state is CostState.PRICED and not cost.usd:
        return "free"
    return _COSTS[cost.state].format(usd_text(cost.usd))


def problem_text(error: PixyProxyException) -> str:
    """Return the message of an error, of an invalid input each field with its rule."""
    if isinstance(error, DataValidationError) and error.errors:
        return " ".join(f"{'.'.join(map(str, loc))} {message}." for loc, message in error.errors)
    return error.detail


def place_text(place: QueuePlace | None) -> str:
    """Return a place in the queue and the time to go, such as `3rd in line, about 40 s`; empty without a place."""
    if place is None:
        return ""
    time = "" if place.eta_s is None else f", about {_seconds_text(place.eta_s)}"
    return f"{_ordinal(place.position)} in line{time}"


def _ordinal(number: int) -> str:
    teen = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _seconds_text(seconds: int) -> str:
    return f"{seconds} s" if seconds < 100 else f"{round(seconds / 60)} min"
