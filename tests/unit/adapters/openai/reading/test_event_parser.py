"""Parser of server-sent events, for every way in which the bytes are split."""

import pytest

from pixyproxy.adapters.openai.reading.event_parser import EventParser, ServerSentEvent
from pixyproxy.domain.errors import GeneratorResponseError

STREAM = (
    b": a comment \xf0\x9f\xa6\x86\n"
    b"\n"
    b'event: first\ndata: {"duck": "\xf0\x9f\xa6\x86 \xc3\xa4"}\n\n'
    b"data:no space\ndata:  two spaces\ndata\ndata:\n\n"
    b"id: 7\nretry: 10\nnonsense\nevent: without data\n\n"
    b":\n\n\n"
    b"data: the name before does not stay\n\n"
    b"event: one\nevent: other\ndata: a: b\n\n"
    b"event: not ended\ndata: cut of"
)
EVENTS = [
    ServerSentEvent("first", '{"duck": "🦆 ä"}'.encode()),
    ServerSentEvent("", b"no space\n two spaces\n\n"),
    ServerSentEvent("", b"the name before does not stay"),
    ServerSentEvent("other", b"a: b"),
]
REST = ServerSentEvent("not ended", b"cut of", is_ended=False)
NEWLINES = {"lf": b"\n", "cr": b"\r", "crlf": b"\r\n"}


def read(pieces: list[bytes], limit: int = 1000) -> tuple[list[ServerSentEvent], ServerSentEvent | None]:
    reader = EventParser(limit)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events, next(iter(reader.end()), None)


@pytest.mark.parametrize("newline", NEWLINES)
def test_events_with_every_line_end(newline: str) -> None:
    assert read([STREAM.replace(b"\n", NEWLINES[newline])]) == (EVENTS, REST)


@pytest.mark.parametrize("newline", NEWLINES)
def test_events_split_anywhere(newline: str) -> None:
    stream = STREAM.replace(b"\n", NEWLINES[newline])
    for cut in range(len(stream) + 1):
        assert read([stream[:cut], stream[cut:]]) == (EVENTS, REST)
    for size in (1, 2, 3, 7):
        assert read([stream[start : start + size] for start in range(0, len(stream), size)]) == (EVENTS, REST)


def test_mixed_line_ends() -> None:
    assert read([b"data: 1\r\n\r", b"\ndata: 2\n\rdata: 3\r\rdata: 4\r", b"", b"\n\n"]) == (
        [ServerSentEvent("", data) for data in (b"1", b"2", b"3", b"4")],
        None,
    )


def test_a_byte_order_mark_is_dropped_at_the_beginning_only() -> None:
    mark = b"\xef\xbb\xbf"
    assert read([mark[:2], mark[2:] + b"data: 1\n\n"]) == ([ServerSentEvent("", b"1")], None)
    assert read([b"data: 1\n\n" + mark + b"data: 2\n\n"]) == ([ServerSentEvent("", b"1")], None)


@pytest.mark.parametrize(
    ("end", "data"),
    [(b"data: x", b"x"), (b"data: x\n", b"x"), (b"data: x\ndata: y", b"x\ny"), (b"", None), (b":", None)],
)
def test_an_unfinished_event_is_returned(end: bytes, data: bytes | None) -> None:
    parser = EventParser(100)
    parser.feed(b"data: before\n\n" + end)
    assert parser.end() == ([] if data is None else [ServerSentEvent("", data, is_ended=False)])
    assert parser.end() == []


def test_the_last_bytes_may_hold_events() -> None:
    parser = EventParser(100)
    parser.feed(b"data: on")
    assert parser.end(b"e\n\ndata: two") == [
        ServerSentEvent("", b"one"),
        ServerSentEvent("", b"two", is_ended=False),
    ]


def test_an_event_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert read([b"data: " + b"x" * 94 + b"\n\n"], 100)[0] == [ServerSentEvent("", b"x" * 94)]
    with pytest.raises(GeneratorResponseError):
        read([b"data: " + b"x" * 95], 100)
    with pytest.raises(GeneratorResponseError):
        read([b"data: xxxxxxxxxxxxxxxxxxxxxx\n"] * 5, 100)
    with pytest.raises(GeneratorResponseError):
        read([b":" + b"x" * 60, b"x" * 60], 100)


def test_ignored_lines_do_not_count() -> None:
    reader = EventParser(100)
    for _ in range(100):
        assert reader.feed(b": comment\nid: 1\nretry: 2\nwhatever: 3\n\n") == []
        assert reader.feed(b"data: yes\n\n") == [ServerSentEvent("", b"yes")]
        assert reader.pending == 0


def test_a_name_is_bounded() -> None:
    assert read([b"event: " + b"x" * 900 + b"\ndata: y\n\n"])[0] == [ServerSentEvent("x" * 100, b"y")]
    assert read([b"event: \xff\ndata: y\n\n"])[0] == [ServerSentEvent("\ufffd", b"y")]


def test_pending_counts_the_bytes_of_an_incomplete_event() -> None:
    reader = EventParser(1000)
    reader.feed(b"data: 12345")
    assert reader.pending == 11
    reader.feed(b"\n")
    assert reader.pending == 6  # the five bytes and the line end between them and the next
    reader.feed(b"\n")
    assert reader.pending == 0
