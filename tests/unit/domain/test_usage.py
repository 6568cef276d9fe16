"""Usage is split without loss and added up again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.usage import split_usage, sum_usage

NUMBERS = st.integers(0, 10**9) | st.text(max_size=3) | st.booleans() | st.none()
USAGE = st.dictionaries(
    st.text(max_size=3), NUMBERS | st.dictionaries(st.text(max_size=3), NUMBERS, max_size=3), max_size=4
)


@given(usage=USAGE, parts=st.integers(1, 10))
def test_the_parts_add_up_to_the_whole(usage: dict[str, Any], parts: int) -> None:
    split = split_usage(usage, parts)
    assert len(split) == parts
    assert sum_usage(split) == usage


def test_the_parts_differ_by_at_most_one() -> None:
    usage = {"total_tokens": 11, "details": {"text_tokens": 4}, "tier": "x", "fast": True}
    first, second, third = split_usage(usage, 3)
    assert first == {"total_tokens": 4, "details": {"text_tokens": 2}, "tier": "x", "fast": True}
    assert second == {"total_tokens": 4, "details": {"text_tokens": 1}, "tier": "x", "fast": True}
    assert third == {"total_tokens": 3, "details": {"text_tokens": 1}, "tier": "x", "fast": True}


def test_unknown_usage_stays_unknown() -> None:
    assert split_usage(None, 2) == [None, None]
    assert sum_usage([None, None]) is None
    assert sum_usage([]) is None


@pytest.mark.parametrize("order", [1, -1])
def test_parts_of_different_shape_are_summed_where_they_agree(order: int) -> None:
    parts = [{"a": 1, "b": 2}, None, {"b": 3, "c": {"d": 4}}]
    assert sum_usage(parts[::order]) == {"a": 1, "b": 5, "c": {"d": 4}}
