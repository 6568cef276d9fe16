"""The body of a response while it arrives."""

import random

import pytest

from pixyproxy.adapters.openai.reading.body import Body


@pytest.mark.parametrize("largest", [1, 100, 200_000])
def test_pieces_of_any_size_become_the_body(largest: int) -> None:
    draw = random.Random(largest)
    body, expected = Body(), b""
    for number in range(300 if largest < 1000 else 20):
        piece = bytes([number % 256]) * draw.randint(0, largest)
        body.add(piece)
        expected += piece
        assert body.size == len(expected)
    assert body.joined() == expected
    for size in (0, 1, 16, 64, len(expected), len(expected) + 1):
        assert body.head(size) == expected[:size]
        assert body.tail(size) == expected[max(0, len(expected) - size) :]


def test_small_pieces_are_collected() -> None:
    body = Body()
    for _ in range(10_000):
        body.add(b"x")
    assert len(body._pieces) == 1


def test_a_cleared_body_is_empty() -> None:
    body = Body()
    body.add(b"abc")
    body.clear()
    body.add(b"d")
    assert (body.size, body.joined()) == (1, b"d")
