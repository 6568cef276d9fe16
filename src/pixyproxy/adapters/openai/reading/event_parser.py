"""Parser of server-sent events (HTML Living Standard, 9.2.6)."""

import re
from dataclasses import dataclass, replace

from pixyproxy.domain.errors import GeneratorResponseError

_FIELD = re.compile(rb"\s*(?:data|event|id|retry)?:")
_SNIFFED_BYTES = 16
"""Bytes after which it is certain whether a body is a stream of events."""


def sniff_events(head: bytes) -> bool | None:
    """Return whether a body that begins like this is a stream of events; None if more bytes must tell."""
    head = head.removeprefix(_BOM)
    if _FIELD.match(head):
        return True
    return None if len(head.lstrip()) < _SNIFFED_BYTES and not head.lstrip().startswith((b"{", b"[")) else False


MAX_EVENTS = 10_000
"""A stream has four for each picture, and perhaps one a second to keep it open."""
MAX_LINES = 1_000_000
"""A picture of ordinary size may be wrapped into a hundred thousand lines."""
_PIECE_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """Name (perhaps empty) and data of an event; `is_ended` is False if the stream broke off before its end."""

    name: str
    data: bytes
    is_ended: bool = True


class EventParser:
    """Incremental parser of server-sent events (HTML Living Standard, 9.2.6), each of at most `limit` bytes.

    A stream has at most `MAX_EVENTS` and `MAX_LINES`.

    It works on bytes: a character may be split between two pieces, and the JSON parser reads bytes anyway.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[bytes] = []
        self._data_size = 0
        self._events = self._lines = 0

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete event."""
        return len(self._line) + self._data_size

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that this piece completes.

        Raises GeneratorResponseError if an event is too large, or there are too many.
        """
        events: list[ServerSentEvent] = []
        for start in range(0, len(piece), _PIECE_BYTES):
            events += self._feed(piece[start : start + _PIECE_BYTES])
        return events

    def _feed(self, piece: bytes) -> list[ServerSentEvent]:
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        events: list[ServerSentEvent] = []
        # Most pieces lie in the middle of a picture: searching them for line ends is much faster than splitting.
        for line in piece.splitlines(keepends=True) if b"\n" in piece or b"\r" in piece else (piece,):
            content = line.rstrip(b"\r\n")
            self._line += content
            if self.pending > self._limit:
                raise GeneratorResponseError("An event of the generator's stream is too large.")
            if len(content) < len(line) and (event := self._end_line()) is not None:
                events.append(event)
        return events

    def end(self, unparsed: bytes = b"") -> list[ServerSentEvent]:
        """Return the events in the last bytes of the stream, the one that its end cut off included."""
        events = self.feed(unparsed)
        if (event := self._end_line() or self._dispatch()) is not None:
            events.append(replace(event, is_ended=False))
        return events

    def _end_line(self) -> ServerSentEvent | None:
        self._lines += 1
        if self._lines > MAX_LINES:
            raise GeneratorResponseError("The generator's stream has too many lines.")
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        field_name, _, value = line.partition(b":")  # empty for a comment
        value = value.removeprefix(b" ")
        if field_name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif field_name == b"event":
            self._name = value[:100].decode("utf-8", "replace")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        name, data = self._name, b"\n".join(self._data)
        self._name = ""
        self._data.clear()
        self._data_size = 0
        if not data:
            return None
        self._events += 1
        if self._events > MAX_EVENTS:
            raise GeneratorResponseError("The generator's stream holds too many events.")
        return ServerSentEvent(name, data)
