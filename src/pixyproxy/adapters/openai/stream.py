"""Reading a generation as it is streamed: early views are handed on at once, finished pictures kept to the end."""

import asyncio
import logging
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import jiter

from pixyproxy.adapters.openai.client import BodyPlaces
from pixyproxy.adapters.openai.content_coding import Answer
from pixyproxy.adapters.openai.error_responses import FAILURES, StreamRefusal
from pixyproxy.adapters.openai.events import Event, EventReader
from pixyproxy.adapters.openai.response_body import (
    MAX_ANSWER_BYTES,
    MAX_PICTURES,
    Made,
    parse_completed,
    read_picture,
    read_reports,
)
from pixyproxy.domain.errors import GeneratorConnectionLostError, GeneratorResponseError
from pixyproxy.domain.generation import PartialImage
from pixyproxy.ports.image_generator import MakeRoom, OnPartial

log = logging.getLogger(__name__)

MAX_STREAM_BYTES = 8 * MAX_ANSWER_BYTES
"""The whole of a stream: several pictures and, for each, up to three early views that are nearly as large."""
SMALL_BYTES = 128 * 1024
"""Up to here parsing takes less than handing it to a thread."""
LINGER_S = 2.0
"""How long a stream may go on after the last picture that was asked for."""

_KINDS = {
    f"{task}.{kind}": kind for task in ("image_generation", "image_edit") for kind in ("partial_image", "completed")
}
_END = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Told:
    """What an event says: an early view, a picture, the document of an error, that it is the end; or nothing of use.

    `is_view` is True for an early view that cannot be read, too.
    """

    partial: PartialImage | None = None
    made: Made | None = None
    error: dict[str, Any] | None = None
    is_view: bool = False
    is_end: bool = False


@dataclass(slots=True)
class StreamReader:
    """Reads one stream.

    `wanted` is how many pictures were asked for, and `deadline`, on the loop's clock, when what is finished must
    do.
    """

    places: BodyPlaces
    executor: Executor
    on_partial: OnPartial | None
    make_room: MakeRoom | None
    wanted: int
    deadline: float
    _made: list[Made] = field(default_factory=list)
    _made_bytes: int = 0
    _views: int = 0

    async def read(self, answer: Answer) -> list[Made]:
        """The pictures of the stream, at least one.

        However it ends, what was finished before is the answer: it is paid for. Raises what the stream ended
        with otherwise: one of FAILURES, among them StreamRefusal, or a GeneratorError.
        """
        events = EventReader(MAX_ANSWER_BYTES)
        failure: Exception = GeneratorConnectionLostError("The generator's stream ended without a finished picture.")
        try:
            await self._read(answer, events)
        except (*FAILURES, GeneratorResponseError) as error:
            failure = error
        if any(not made.spoilt or made.url for made in self._made):
            if len(self._made) < self.wanted:
                log.warning("A stream ended (%s) after %d pictures", type(failure).__name__, len(self._made))
            return self._made
        if self._made:
            raw = b"\n".join(made.data for made in self._made)
            raise GeneratorResponseError("The generator's picture cannot be read.", raw=raw) from failure
        raise failure

    async def _read(self, answer: Answer, events: EventReader) -> None:
        try:
            async with asyncio.timeout_at(self.deadline) as patience:
                await self._read_events(answer, events, patience)
        except FAILURES as error:
            if not isinstance(error, StreamRefusal):
                self._take_rest(events)
            raise
        self._take_rest(events)

    def _take_rest(self, events: EventReader) -> None:
        if (rest := events.rest()) is not None:
            # Here and not in a thread: where the generator was closed, there is none any more.
            self._act(read_event(rest))

    async def _read_events(self, answer: Answer, events: EventReader, patience: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        size, linger_until = 0, None
        async with AsyncExitStack() as place:
            holding = False
            while piece := await answer.read():
                size += len(piece)
                if size > MAX_STREAM_BYTES:
                    raise GeneratorResponseError("The generator's stream is too large.")
                for event in events.feed(piece):
                    if not await self._take(event):
                        return
                if linger_until is None and len(self._made) >= self.wanted:
                    linger_until = min(self.deadline, loop.time() + LINGER_S)
                    patience.reschedule(linger_until)
                # A stream is silent most of its life: it needs a place only for a large event, and holds it until
                # that is read. Till then the rest waits in the socket's small buffers.
                if not holding and events.pending > SMALL_BYTES:
                    if self.make_room is not None:
                        await self.make_room(None)
                    await place.enter_async_context(self.places.place())
                    holding = True
                elif holding and events.pending <= SMALL_BYTES:
                    await place.aclose()
                    holding = False

    async def _take(self, event: Event) -> bool:
        """Act on an event; False if it is the last that is read."""
        if len(event.data) <= SMALL_BYTES:
            return self._act(read_event(event))
        told = await asyncio.get_running_loop().run_in_executor(self.executor, read_event, event)
        return self._act(told)

    def _act(self, told: Told) -> bool:
        if told.error is not None:
            raise StreamRefusal(told.error, begun=self._views > 0)
        if told.partial is not None and self.on_partial is not None:
            partial = told.partial
            self.on_partial(partial if partial.index >= 0 else replace(partial, index=self._views))
        self._views += told.is_view
        if told.made is not None:
            self._made.append(told.made)
            self._made_bytes += len(told.made.data)
        return not told.is_end and self._made_bytes <= MAX_ANSWER_BYTES and len(self._made) < MAX_PICTURES


def read_event(event: Event) -> Told:
    """What the event says. Blocks for some milliseconds per megabyte."""
    if event.data.strip() == _END:
        return Told(is_end=True)
    try:
        document = jiter.from_json(event.data, cache_mode="none")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        # Perhaps a picture that was paid for: whoever keeps it may find out.
        is_spoilt = event.is_ended and _KINDS.get(event.name) == "completed"
        return Told(made=Made(event.data, spoilt=True) if is_spoilt else None)
    name = document.get("type")
    if not isinstance(name, str):
        name = event.name
    if document.get("error") or "error" in (name, event.name):
        return Told(error=document)
    kind = _KINDS.get(name)
    if kind == "completed":
        return Told(made=parse_completed(document) or Made(event.data, spoilt=True))
    if kind == "partial_image":
        return Told(partial=_read_partial(document), is_view=True)
    return Told()


def _read_partial(event: dict[str, Any]) -> PartialImage | None:
    """The early view, with the index -1 where the upstream gives none; None where it cannot be read."""
    picture = read_picture(event)
    if picture is None or picture.spoilt:
        return None
    index = event.get("partial_image_index")
    return PartialImage(picture.data, index if isinstance(index, int) else -1, read_reports(event) or {})
