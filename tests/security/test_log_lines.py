"""A log line has at most 8 KiB, whatever is in it, in tracebacks too."""

import logging
import sys

import pytest

from pixyproxy.entrypoints.logs import LineFormatter
from tests.fixtures.http_app import http_app, log_lines

LIMIT = 8 * 1024


def formatted(message: str, *args: object, error: BaseException | None = None) -> list[str]:
    """Return the lines of a record with their ends, as they are written."""
    record = logging.LogRecord("name", logging.ERROR, __file__, 1, message, args, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return [f"{line}\n" for line in LineFormatter().format(record).split("\n")]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "text",
    ["x" * 20_000, "é" * 20_000, "🦆" * 20_000, "\n" * 20_000, "\x00\u2028" * 20_000, "\udcff" * 20_000, "x🦆" * 4000],
    ids=ascii,
)
def test_a_long_message_is_cut(text: str) -> None:
    for line in formatted("a message: %s", text), formatted(text.replace("%", "")):
        [whole] = line
        assert LIMIT - 8 <= len(whole.encode(errors="backslashreplace")) <= LIMIT
        assert whole.endswith("…\n")
        whole.removesuffix("\n").encode()


@pytest.mark.parametrize("size", range(LIMIT - 200, LIMIT + 10, 7))
def test_no_length_passes_the_limit_or_is_cut_without_need(size: int) -> None:
    [line] = formatted("x" * size)
    head = len(formatted("")[0].encode())
    assert len(line.encode()) == min(head + size, LIMIT)
    assert line.endswith("…\n") is (head + size > LIMIT)


def test_short_lines_are_as_they_were() -> None:
    assert formatted("a %s", "duck")[0].endswith("] a duck\n")


@pytest.mark.parametrize("text", ["x" * 20_000, "🦆" * 20_000, "a\n" * 100_000, "x" * 9000 + "\n" + "y" * 9000])
def test_the_lines_of_a_traceback_are_cut(text: str) -> None:
    lines = formatted("failed", error=raised(ValueError(text)))
    assert max(len(line.encode()) for line in lines) <= LIMIT
    assert sum(map(len, lines)) < 300_000
    assert lines[1] == "    | Traceback (most recent call last):\n"
    assert any("ValueError" in line for line in lines)


def test_a_deep_traceback_is_bounded_too() -> None:
    def fall(depth: int) -> None:
        try:
            fall(depth - 1) if depth else sys.exit("x" * 9000)
        except SystemExit as error:
            raise RuntimeError("y" * 9000) from error

    try:
        fall(50)
    except RuntimeError as caught:
        lines = formatted("failed", error=caught)
    assert max(len(line.encode()) for line in lines) <= LIMIT
    assert sum(map(len, lines)) < 300_000


async def test_no_request_writes_a_longer_line() -> None:
    async with http_app() as app:
        with log_lines() as lines:
            await app.raw("GET", "/" + "é" * 30_000)
            await app.raw("X" * 30_000, "/image")
        assert [line for line in lines if "REQUEST END" in line and line.endswith("…")]
        assert max(len(line.encode()) for line in lines) < LIMIT
