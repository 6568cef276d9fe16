"""Server-sent events of a generation: the images that are recorded, early views, then the final pictures."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from fastapi.sse import EventSourceResponse, format_sse_event

from pixyproxy.application.generation.callers import Caller
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.generation import GenerationOutcome, PartialImage, QueuePlace
from pixyproxy.domain.image import Image

logger = logging.getLogger(__name__)

Item: TypeAlias = GenerationOutcome | PartialImage
"""News of a generation that runs: its images as they are recorded, or an early view."""
Generate: TypeAlias = Callable[[Callable[[Item], None]], Awaitable[GenerationOutcome]]
"""A generation; it hands its news to the callback."""

KEEP_ALIVE = format_sse_event(comment="keep-alive")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """Seconds to wait for the first event before the status line, and between comments after it.

    Until the status line is sent an error can have a status of its own. The line has to be sent before proxies on the
    way time out, most of them after 60 s. A call that still waits for its turn after `queued_s` seconds says so, and
    then its place every `place_s` seconds; others keep the connection alive every `keep_alive_s` seconds.
    """

    first_event_s: float = 45.0
    queued_s: float = 1.0
    place_s: float = 5.0
    keep_alive_s: float = 15.0


class StreamEvents(ABC):
    """The events of one stream, as its clients know them. Each is yielded in pieces."""

    def headers(self, first: Item | None) -> Mapping[str, str]:
        """Return headers of the response; `first` is what it begins with, None for a comment."""
        return {}

    @abstractmethod
    def place(self) -> QueuePlace | None:
        """Return the place of the call in the queue while it waits."""

    @abstractmethod
    def news(self, item: Item) -> AsyncGenerator[bytes, None]:
        """Yield the event with news of the generation."""

    @abstractmethod
    def completed(self, image: Image) -> AsyncGenerator[bytes, None]:
        """Yield the event with a final picture; an error before the first piece is of the image."""

    @abstractmethod
    def error(self, error: Exception) -> bytes:
        """Return the event that ends the stream with an error; one that is not expected is logged."""


class Progress:
    """A running generation: its news as they come, and its outcome."""

    def __init__(self, generate: Generate) -> None:
        self._items: asyncio.Queue[Item | None] = asyncio.Queue()
        # A task of its own goes on when the client hangs up.
        self.outcome = asyncio.create_task(self._run(generate))
        self.outcome.add_done_callback(self._end)

    async def next_item(self, timeout_s: float) -> Item | None:
        """Return the next news, or None after the time-out or at the end."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._items.get()
        except TimeoutError:
            return None

    async def _run(self, generate: Generate) -> GenerationOutcome:
        return await generate(self._items.put_nowait)

    def _end(self, outcome: asyncio.Task[GenerationOutcome]) -> None:
        if not outcome.cancelled():
            outcome.exception()  # asyncio warns of one that nobody looked at, as after a client that hung up
        self._items.put_nowait(None)


async def begin_stream(
    generate: Generate, events: StreamEvents, timeouts: StreamTimeouts, caller: Caller
) -> EventSourceResponse:
    """Start a generation and return the response with its events; an error before the first event is raised."""
    progress = Progress(generate)
    first = await progress.next_item(min(timeouts.queued_s, timeouts.first_event_s))
    if first is None and events.place() is None and not progress.outcome.done():
        first = await progress.next_item(timeouts.first_event_s - timeouts.queued_s)
    begins_with = first
    if first is None and progress.outcome.done():
        begins_with = progress.outcome.result()
    headers = {**_HEADERS, **events.headers(begins_with)}
    return EventSourceResponse(_body(_events(progress, first, events, timeouts), events, caller), headers=headers)


async def _events(
    progress: Progress, first: Item | None, events: StreamEvents, timeouts: StreamTimeouts
) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
    """Yield the events of a generation to its end, and comments while there are none."""
    item = first
    while item is not None or not progress.outcome.done():
        yield _waiting_comment(events.place()) if item is None else events.news(item)
        item = await progress.next_item(timeouts.keep_alive_s if events.place() is None else timeouts.place_s)
    for image in progress.outcome.result().images:
        yield events.completed(image)


async def _body(
    all_events: AsyncGenerator[AsyncGenerator[bytes, None], None], events: StreamEvents, caller: Caller
) -> AsyncIterator[bytes]:
    within_event = False
    try:
        async with aclosing(all_events):
            async for event in all_events:
                async with aclosing(event):
                    async for piece in event:
                        within_event = True
                        yield piece
                within_event = False
    except Exception as error:
        if within_event:
            raise  # the connection is cut: the client must not take a part of a picture for all of it
        if isinstance(error, PixyProxyException):
            logger.info("event stream ended with %s", type(error).__name__)
        caller.got_error = True
        yield events.error(error)


async def _waiting_comment(place: QueuePlace | None) -> AsyncGenerator[bytes, None]:
    if place is None:
        yield KEEP_ALIVE
        return
    eta = "" if place.eta_s is None else f", about {place.eta_s} s"
    yield format_sse_event(comment=f"queued {place.position}{eta}")
