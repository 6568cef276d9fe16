"""The usage of a call, split among its pictures and summed up again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_MORE_DIGITS = 6
"""Decimal places that the share of a fraction has beyond those of the fraction."""
_MAX_TOKENS = 10**12
"""A bound on the tokens of a picture: what is beyond it is a mistake in a report."""


@dataclass(frozen=True, slots=True)
class CallUsage:
    """The usage of a whole call, as one of its pictures carries it: the one numbered `part`, from 0, of `parts`.

    What the call cost is split among its pictures to the micro-dollar, which prices of rounded shares would not be.
    """

    usage: Mapping[str, Any]
    parts: int = 1
    part: int = 0


def split_usage(usage: Mapping[str, Any] | None, parts: int) -> list[dict[str, Any] | None]:
    """Split every number, at any depth, into parts that add up to it, whole numbers into whole ones.

    Earlier parts get the remainder. Anything but numbers is the same in each part.
    """
    if usage is None:
        return [None] * parts
    return [{name: _share(value, parts, part) for name, value in usage.items()} for part in range(parts)]


def tokens_of(usage: Mapping[str, Any] | None, name: str) -> int | None:
    """Return the number of tokens under this name of a usage, None if none is reported or it cannot be meant."""
    tokens = (usage or {}).get(name)
    return tokens if type(tokens) is int and 0 <= tokens <= _MAX_TOKENS else None


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
