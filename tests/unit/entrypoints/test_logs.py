"""The format of log lines."""

import asyncio
import json
import logging
import re
import sys
import threading
import time
from typing import Any

import pytest

from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.logs import MAX_LINE_BYTES, JsonFormatter, LineFormatter, escaped, request_id

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) (?P<id>\S+) \[(?P<thread>\d+)\] "
                  r"\[(?P<where>[^\]]+:\d+)\] (?P<text>.*)")  # fmt: skip


def record_of(message: str, *args: object, exc_info: object = None, **extra: object) -> logging.LogRecord:
    return logging.getLogger("x").makeRecord(
        "x", logging.INFO, "/x.py", 57, message, args, exc_info, "create_image", extra or None  # type: ignore[arg-type]
    )  # fmt: skip


def formatted(message: str, *args: object, exc_info: object = None, **extra: object) -> str:
    return LineFormatter().format(record_of(message, *args, exc_info=exc_info, **extra))


def as_json(message: str, *args: object, exc_info: object = None, **extra: object) -> dict[str, Any]:
    line = JsonFormatter().format(record_of(message, *args, exc_info=exc_info, **extra))
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < MAX_LINE_BYTES
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_holds_time_level_request_thread_and_function() -> None:
    found = LINE.fullmatch(formatted("%s of %d", "one", 2))
    assert found is not None
    assert found.group("level", "id", "where", "text") == ("INFO", "-", "create_image:57", "one of 2")
    assert int(found["thread"]) == threading.get_native_id()


def test_a_line_can_name_another_function() -> None:
    found = LINE.fullmatch(formatted("x", where="get_image:9"))
    assert found is not None
    assert found["where"] == "get_image:9"


async def test_tasks_and_threads_inherit_the_request_id() -> None:
    async def work(name: str) -> str:
        request_id.set(name)
        await asyncio.sleep(0)
        return (await asyncio.gather(asyncio.create_task(line())))[0] + await asyncio.to_thread(formatted, "x")

    async def line() -> str:
        return formatted("x")

    for name, found in zip("ab", await asyncio.gather(work("a"), work("b")), strict=True):
        assert found.count(f" {name} [") == 2
    assert request_id.get() == "-"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\nb\t", r"a\r\nb\t"),
        ("\x00\x1b[31m\x7f\x9b", r"\x00\x1b[31m\x7f\x9b"),
        ("\x0b\x0c\x1c\x85", r"\x0b\x0c\x1c\x85"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("鸭 🦆 é", "鸭 🦆 é"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert escaped(text) == expected
    assert formatted("%s", text).endswith(f"] {expected}")


def test_no_character_breaks_a_line() -> None:
    everything = "".join(map(chr, range(0x11000)))
    assert len(formatted("%s", everything).splitlines()) == 1
    # Controls of text direction could make a line look like another one.
    assert not any(char in escaped(everything) for char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b")


def test_a_traceback_follows_indented_and_escaped() -> None:
    try:
        raise ValueError("a\n2026-11-21 10:00:00,123 INFO forged\x1b")
    except ValueError:
        first, *rest = formatted("failed", exc_info=sys.exc_info()).split("\n")
    assert LINE.fullmatch(first)
    assert rest
    assert all(line.startswith("    | ") and "\x1b" not in line for line in rest)


def test_every_control_character_is_escaped_inside_text() -> None:
    # `escaped` skips text that Python calls printable.
    assert all(escaped(f"duck {chr(code)}") == f"duck {escape}" for code, escape in logs._ESCAPES.items())


def test_the_time_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        record = logging.getLogger("x").makeRecord("x", logging.INFO, "/x.py", 57, "x", (), None)
        record.created, record.msecs = 1_700_000_000.123, 123.0
        assert LineFormatter().format(record).startswith("2023-11-14 22:13:20,123 INFO ")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_json_holds_the_fields_of_the_text() -> None:
    token = request_id.set("web1-20261121T100000123456-140213")
    record = record_of("%s of %d", "one", 2)
    record.created, record.msecs = 1_700_000_000.123, 123.0
    line = JsonFormatter().format(record)
    request_id.reset(token)
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "INFO",
        "request_id": "web1-20261121T100000123456-140213",
        "thread": threading.get_native_id(),
        "where": "create_image:57",
        "message": "one of 2",
    }
    assert as_json("x", where="get_image:9")["where"] == "get_image:9"
    assert as_json("x")["request_id"] == "-"


def test_json_keeps_every_character_and_breaks_no_line() -> None:
    for start in range(0, 0x11000, 256):
        text = "".join(map(chr, range(start, start + 256)))
        assert as_json("%s", text)["message"] == text


@pytest.mark.parametrize("char", ["a", "\n", "\x7f", "鸭", "🦆", "\ud800"])
@pytest.mark.parametrize("length", [300, 5_000, 500_000])
def test_json_lines_are_bounded(char: str, length: int) -> None:
    try:
        raise ValueError(char * length)
    except ValueError:
        entry = as_json("%s", char * length, exc_info=sys.exc_info(), where="x" * length)
    message, exception = entry["message"], entry["exception"]
    assert message in {char * length, f"{message[:-1]}…"}
    assert message.rstrip("…") == char * (len(message) - message.endswith("…"))
    assert len(message) > 250
    assert exception.startswith(("Traceback", "…"))
    assert exception.endswith(char * 100)


def test_a_traceback_is_in_json() -> None:
    try:
        raise ValueError("a\n2026-11-21 10:00:00,123 INFO forged\x1b")
    except ValueError:
        entry = as_json("failed", exc_info=sys.exc_info())
    assert entry["exception"].startswith("Traceback (most recent call last):\n")
    assert entry["exception"].endswith("ValueError: a\n2026-11-21 10:00:00,123 INFO forged\x1b")
    assert "exception" not in as_json("fine")
