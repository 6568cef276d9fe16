"""No regular expression of the program takes long for 16 KiB, whatever they are.

The limit is a multiple of the processor time of other work, and a hundred times what a linear expression takes.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.security.slow_input import Expression, expressions, slowest, worst_shapes

OF_THE_PROGRAM = {"pixyproxy.adapters.sql.migrations"}
"""Modules whose expressions read nothing but the scripts of the program."""
EXPRESSIONS = [each for each in expressions() if each.place.partition(":")[0] not in OF_THE_PROGRAM]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda each: each.place.removeprefix("pixyproxy."))
def test_each_expression_of_the_program_is_fast_on_its_worst_input(expression: Expression) -> None:
    for method in expression.methods:
        assert slowest(_use(expression.pattern, method), worst_shapes(expression.pattern)) is None, method


@pytest.mark.parametrize(
    "pattern",
    [r"\s*([0-9]*)\s*-\s*([0-9]*)\s*", r"(a+)+$", r"(a|a)*b", r"(.*,)*x", r"([a-z]+)*@", r"^(\w+\s?)*$", r"(\d+)*-"],
)
def test_the_worst_input_of_a_slow_expression_is_found(pattern: str) -> None:
    compiled = re.compile(pattern)
    assert slowest(compiled.fullmatch, worst_shapes(compiled)) is not None


@pytest.mark.parametrize("pattern", [r"\s+$", r"a*b", r"<.*>", r"\d+\.", r"(?:x+y)*z", r"/\*.*?\*/"])
def test_the_worst_input_of_a_slow_search_is_found(pattern: str) -> None:
    compiled = re.compile(pattern)
    assert slowest(compiled.search, worst_shapes(compiled)) is not None


def test_expressions_are_found_wherever_they_stand() -> None:
    places = {each.place.partition(":")[0] for each in expressions()}
    assert {"pixyproxy.domain.image", "pixyproxy.entrypoints.logs", "pixyproxy.settings"} <= places
    assert len(EXPRESSIONS) > 40


def _use(pattern: re.Pattern[Any], method: str) -> Callable[[Any], object]:
    """Return a function that applies the expression to a text."""
    function = getattr(pattern, method)
    if method in {"sub", "subn"}:
        return lambda text: function(text[:0], text)
    return (lambda text: list(function(text))) if method == "finditer" else function
