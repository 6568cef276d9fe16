"""The usage of a call, split among its pictures and summed up again."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

_MORE_DIGITS = 6
"""Decimal places that the share of a fraction has beyond those of the fraction."""


def split_usage(usage: Mapping[str, Any] | None, parts: int) -> list[dict[str, Any] | None]:
    """Split every number, at any depth, into parts that add up to it, whole numbers into whole ones.

    Earlier parts get the remainder. Anything but numbers is the same in each part.
    """
    if usage is None:
        return [None] * parts
    return [{name: _share(value, parts, part) for name, value in usage.items()} for part in range(parts)]


def sum_usage(usages: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Return the sum of the parts, the inverse of `split_usage`; None if no part is known."""
    total: dict[str, Any] | None = None
    for usage in usages:
        if usage is not None:
            total = dict(usage) if total is None else _sum(total, usage)
    return total


def _share(value: Any, parts: int, part: int) -> Any:
    if isinstance(value, Mapping):
        return {name: _share(inner, parts, part) for name, inner in value.items()}
    if type(value) is int:
        share, left = divmod(value, parts)
        return share + (part < left)
    if isinstance(value, float) and parts > 1:
        # Split as a decimal, as an amount of money is meant: binary fractions would not add up.
        amount = Decimal(str(value))
        exponent = amount.as_tuple().exponent
        if isinstance(exponent, int):
            exponent -= _MORE_DIGITS
            return float(Decimal(_share(int(amount.scaleb(-exponent)), parts, part)).scaleb(exponent))
    return value


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    total = {**one, **other}
    for name in one.keys() & other.keys():
        left, right = one[name], other[name]
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            total[name] = _sum(left, right)
        elif type(left) is int and type(right) is int:
            total[name] = left + right
        elif type(left) in (int, float) and type(right) in (int, float):
            total[name] = float(Decimal(str(left)) + Decimal(str(right)))
    return total
