"""Whole bodies within a limit."""

from collections.abc import AsyncIterator

import pytest

from pixyproxy.adapters.openai.reading.upstream_response import KEPT_BYTES, UpstreamResponse, read_body
from pixyproxy.domain.errors import GeneratorResponseError


def response(*pieces: bytes, **headers: str) -> UpstreamResponse:
    async def read() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def close() -> None:
        pass

    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamResponse(200, fields, read(), lambda: b"", close)


async def test_a_body_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert await read_body(response(b"123", b"45"), 5) == b"12345"
    with pytest.raises(GeneratorResponseError, match="too large") as caught:
        await read_body(response(b"123", b"456", b"789"), 5)
    assert caught.value.raw == b"123456"


async def test_the_beginning_of_a_body_that_is_too_large_is_kept() -> None:
    with pytest.raises(GeneratorResponseError) as caught:
        await read_body(response(bytes(KEPT_BYTES), bytes(10)), 5)
    assert caught.value.raw == bytes(KEPT_BYTES)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [("17", 17), ("0", 0), ("", None), ("-1", None), ("abc", None), ("1" * 30, None), ("²", None)],
)
def test_the_declared_length_is_read(declared: str, expected: int | None) -> None:
    assert response(content_length=declared).declared_bytes == expected
