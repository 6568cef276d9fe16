"""The usage of a call, split among its pictures and summed up again."""

from collections.abc import Iterable, Mapping
from typing import Any


def split_usage(usage: Mapping[str, Any] | None, parts: int) -> list[dict[str, Any] | None]:
    """Split every whole number, at any depth, into parts that differ by at most one and add up to it.

    Earlier parts get the remainder. Anything but whole numbers is the same in each part.
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
    return value


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    total = {**one, **other}
    for name in one.keys() & other.keys():
        left, right = one[name], other[name]
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            total[name] = _sum(left, right)
        elif type(left) is int and type(right) is int:
            total[name] = left + right
    return total
