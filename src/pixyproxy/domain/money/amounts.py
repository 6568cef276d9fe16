"""Amounts in US dollars: whole micro-dollars, rounded, split and written."""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

MICRO_DOLLAR = Decimal("0.000001")
"""The smallest amount: every price and cost is a whole number of these."""
MAX_USD = Decimal(1_000_000)
"""A bound on the price of a call: what is beyond it is a mistake in a price or in a report of usage."""


def round_cost(usd: Decimal) -> Decimal:
    """Round to the nearest micro-dollar, halves up."""
    return usd.quantize(MICRO_DOLLAR, ROUND_HALF_UP)


def round_bound(usd: Decimal) -> Decimal:
    """Round up to a micro-dollar, so that a highest price stays one."""
    return usd.quantize(MICRO_DOLLAR, ROUND_CEILING)


def is_amount(usd: Decimal) -> bool:
    """Return whether this is an amount in whole micro-dollars from 0 to `MAX_USD`."""
    return usd.is_finite() and 0 <= usd <= MAX_USD and usd == round_cost(usd)


def to_micro(usd: Decimal) -> int:
    """Return an amount as a whole number of micro-dollars."""
    return int(usd / MICRO_DOLLAR)


def from_micro(micro: int) -> Decimal:
    """Return the amount of this many micro-dollars."""
    return micro * MICRO_DOLLAR


def split_usd(usd: Decimal, parts: int) -> list[Decimal]:
    """Split an amount into parts that add up to it to the micro-dollar; earlier parts get the remainder."""
    share, left = divmod(int(usd / MICRO_DOLLAR), parts)
    return [(share + (part < left)) * MICRO_DOLLAR for part in range(parts)]


def format_usd(usd: Decimal | None) -> str | None:
    """Return an amount as decimal text with six places, such as `0.031740`."""
    return None if usd is None else f"{usd:.6f}"
