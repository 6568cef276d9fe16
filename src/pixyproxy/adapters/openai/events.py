"""Server-sent events (HTML Living Standard, 9.2.6) out of the bytes of a stream, however these are cut."""

from dataclasses import dataclass, replace

from pixyproxy.domain.errors import GeneratorResponseError

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """An event's name, empty where it has none, and its data.

    `is_ended` is False where the stream ended before the empty line that ends an event: it may be cut off.
    """

    name: str
    data: bytes
    is_ended: bool = True


class EventReader:
    """Takes the bytes of a stream piece by piece and gives its events; none of them may be larger than `limit`.

    Bytes and not text: a character may be cut in two, and what an event holds is JSON, which is read from bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[bytes] = []
        self._data_size = 0

    @property
    def pending(self) -> int:
        """How many bytes are held of an event that is not complete."""
        return len(self._line) + self._data_size

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes. Raises GeneratorResponseError once there is one too large."""
        if not piece:
            return []
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        events: list[Event] = []
        # Most pieces lie in the middle of a picture: finding no line end in them is much faster than splitting.
        for line in piece.splitlines(keepends=True) if b"\n" in piece or b"\r" in piece else (piece,):
            content = line.rstrip(b"\r\n")
            self._line += content
            if self.pending > self._limit:
                raise GeneratorResponseError("An event of the generator's stream is too large.")
            if len(content) < len(line) and (event := self._end_line()) is not None:
                events.append(event)
        return events

    def rest(self) -> Event | None:
        """What is there of an event that was not ended."""
        event = self._end_line() or self._dispatch()
        return event and replace(event, is_ended=False)

    def _end_line(self) -> Event | None:
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")  # a comment's field is empty
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif field == b"event":
            self._name = value[:100].decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name, b"\n".join(self._data)
        self._name = ""
        self._data.clear()
        self._data_size = 0
        return Event(name, data) if data else None
