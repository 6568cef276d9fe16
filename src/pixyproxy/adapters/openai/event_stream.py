"""Generations that are streamed as server-sent events: partial pictures and completed ones."""

import asyncio
import logging
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import jiter

from pixyproxy.adapters.openai.error_responses import FAILURES, StreamRefusal
from pixyproxy.adapters.openai.received_picture import (
    MAX_PICTURES,
    MAX_RESPONSE_BYTES,
    ReceivedPicture,
    parse_completed_event,
    read_picture,
    read_reported_options,
)
from pixyproxy.adapters.openai.upstream_client import BodyReadLimiter
from pixyproxy.adapters.openai.upstream_response import UpstreamResponse
from pixyproxy.domain.errors import GeneratorConnectionLostError, GeneratorResponseError
from pixyproxy.domain.generation import PartialImage
from pixyproxy.ports.image_generator import MakeRoom, OnPartial

log = logging.getLogger(__name__)

MAX_STREAM_BYTES = 8 * MAX_RESPONSE_BYTES
"""Limit of a whole stream: several pictures and, for each, up to three partial ones that are nearly as large."""
SMALL_BYTES = 128 * 1024
"""Up to here parsing takes less time than handing the bytes to a thread."""
LINGER_S = 2.0
"""Seconds that a stream may continue after the last requested picture."""

_KINDS = {
    f"{task}.{kind}": kind for task in ("image_generation", "image_edit") for kind in ("partial_image", "completed")
}
_BOM = b"\xef\xbb\xbf"
_END = b"[DONE]"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """Name (perhaps empty) and data of an event; `is_ended` is False if the stream broke off before its end."""

    name: str
    data: bytes
    is_ended: bool = True


class EventParser:
    """Incremental parser of server-sent events (HTML Living Standard, 9.2.6), each of at most `limit` bytes.

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

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete event."""
        return len(self._line) + self._data_size

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that this piece completes.

        Raises GeneratorResponseError if an event is too large.
        """
        if not piece:
            return []
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

    def rest(self) -> ServerSentEvent | None:
        """Return the event that the end of the stream cut off, if any."""
        event = self._end_line() or self._dispatch()
        return event and replace(event, is_ended=False)

    def _end_line(self) -> ServerSentEvent | None:
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
        return ServerSentEvent(name, data) if data else None


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Content of an event: a partial picture, a completed one, an error document, or the end; perhaps nothing.

    `is_partial` is True even for a partial picture that cannot be read.
    """

    partial: PartialImage | None = None
    picture: ReceivedPicture | None = None
    error: dict[str, Any] | None = None
    is_partial: bool = False
    is_end: bool = False


@dataclass(slots=True)
class StreamReader:
    """Reader of one stream that should bring `wanted` pictures before the loop's clock shows `deadline`."""

    limiter: BodyReadLimiter
    executor: Executor
    on_partial: OnPartial | None
    make_room: MakeRoom | None
    wanted: int
    deadline: float
    _pictures: list[ReceivedPicture] = field(default_factory=list)
    _picture_bytes: int = 0
    _partials: int = 0

    async def read(self, response: UpstreamResponse) -> list[ReceivedPicture]:
        """Return the pictures of the stream, at least one, even if it breaks off later: they are paid for.

        Raises one of FAILURES, among them StreamRefusal, or a GeneratorError if there is none.
        """
        parser = EventParser(MAX_RESPONSE_BYTES)
        failure: Exception = GeneratorConnectionLostError("The generator's stream ended without a finished picture.")
        try:
            await self._read(response, parser)
        except (*FAILURES, GeneratorResponseError) as error:
            failure = error
        if any(not picture.undecoded or picture.url for picture in self._pictures):
            if len(self._pictures) < self.wanted:
                log.warning("A stream ended (%s) after %d pictures", type(failure).__name__, len(self._pictures))
            return self._pictures
        if self._pictures:
            raw = b"\n".join(picture.data for picture in self._pictures)
            raise GeneratorResponseError("The generator's picture cannot be read.", raw=raw) from failure
        raise failure

    async def _read(self, response: UpstreamResponse, parser: EventParser) -> None:
        try:
            async with asyncio.timeout_at(self.deadline) as timeout:
                await self._read_events(response, parser, timeout)
        except FAILURES as error:
            if not isinstance(error, StreamRefusal):
                self._handle_rest(parser)
            raise
        self._handle_rest(parser)

    def _handle_rest(self, parser: EventParser) -> None:
        if (rest := parser.rest()) is not None:
            # Not in a thread: after the generator was closed there is none.
            self._handle(read_event(rest))

    async def _read_events(self, response: UpstreamResponse, parser: EventParser, timeout: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        size, linger_until = 0, None
        async with AsyncExitStack() as permit:
            has_permit = False
            while piece := await response.read():
                size += len(piece)
                if size > MAX_STREAM_BYTES:
                    raise GeneratorResponseError("The generator's stream is too large.")
                for event in parser.feed(piece):
                    if not await self._parse_and_handle(event):
                        return
                if linger_until is None and len(self._pictures) >= self.wanted:
                    linger_until = min(self.deadline, loop.time() + LINGER_S)
                    timeout.reschedule(linger_until)
                # A stream is silent most of its life, so it holds a permit only while it reads a large event.
                # Without one, the rest of the event waits in the socket's small buffers.
                if not has_permit and parser.pending > SMALL_BYTES:
                    if self.make_room is not None:
                        await self.make_room(None)
                    await permit.enter_async_context(self.limiter.permit())
                    has_permit = True
                elif has_permit and parser.pending <= SMALL_BYTES:
                    await permit.aclose()
                    has_permit = False

    async def _parse_and_handle(self, event: ServerSentEvent) -> bool:
        if len(event.data) <= SMALL_BYTES:
            return self._handle(read_event(event))
        return self._handle(await asyncio.get_running_loop().run_in_executor(self.executor, read_event, event))

    def _handle(self, event: StreamEvent) -> bool:
        """Act on an event; return False if it is the last to be read."""
        if event.error is not None:
            raise StreamRefusal(event.error, begun=self._partials > 0)
        if event.partial is not None and self.on_partial is not None:
            partial = event.partial
            self.on_partial(partial if partial.index >= 0 else replace(partial, index=self._partials))
        self._partials += event.is_partial
        if event.picture is not None:
            self._pictures.append(event.picture)
            self._picture_bytes += len(event.picture.data)
        return not event.is_end and self._picture_bytes <= MAX_RESPONSE_BYTES and len(self._pictures) < MAX_PICTURES


def read_event(event: ServerSentEvent) -> StreamEvent:
    """Parse the data of an event. Blocks for some milliseconds per megabyte."""
    if event.data.strip() == _END:
        return StreamEvent(is_end=True)
    try:
        document = jiter.from_json(event.data, cache_mode="none")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        # This may be a picture that was paid for, so it is kept for inspection.
        is_broken = event.is_ended and _KINDS.get(event.name) == "completed"
        return StreamEvent(picture=ReceivedPicture(event.data, undecoded=True) if is_broken else None)
    name = document.get("type")
    if not isinstance(name, str):
        name = event.name
    if document.get("error") or "error" in (name, event.name):
        return StreamEvent(error=document)
    kind = _KINDS.get(name)
    if kind == "completed":
        return StreamEvent(picture=parse_completed_event(document) or ReceivedPicture(event.data, undecoded=True))
    if kind == "partial_image":
        return StreamEvent(partial=_read_partial(document), is_partial=True)
    return StreamEvent()


def _read_partial(event: dict[str, Any]) -> PartialImage | None:
    """Return the partial picture, with the index -1 if the upstream gives none; None if it cannot be read."""
    picture = read_picture(event)
    if picture is None or picture.undecoded:
        return None
    index = event.get("partial_image_index")
    return PartialImage(picture.data, index if isinstance(index, int) else -1, read_reported_options(event) or {})
