"""Server-sent events of a generation: partial pictures, then the final ones."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.sse import EventSourceResponse, format_sse_event

from pixyproxy.application.generation.run import OnPartial
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.generation import GenerationOutcome, PartialImage, QueuePlace
from pixyproxy.entrypoints.http.openai_api.error_body import error_body
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter, error_event, partial_event

logger = logging.getLogger(__name__)

KEEP_ALIVE = format_sse_event(comment="keep-alive")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """Seconds to wait for the first event before the status line, and between keep-alive comments after it.

    Until the status line is sent an error can have a status of its own. The line has to be sent before proxies on the
    way time out, most of them after 60 s. A call that still waits for its turn after `queued_s` seconds says so.
    """

    first_event_s: float = 45.0
    queued_s: float = 1.0
    keep_alive_s: float = 15.0


class Progress:
    """A running generation: its partial pictures as they come, and its outcome."""

    def __init__(self, generate: Callable[[OnPartial], Awaitable[GenerationOutcome]]) -> None:
        self._partials: asyncio.Queue[PartialImage | None] = asyncio.Queue()
        self.created_at = int(time.time())
        # A task of its own goes on when the client hangs up.
        self.outcome = asyncio.create_task(self._run(generate))
        self.outcome.add_done_callback(self._end)

    async def next_partial(self, timeout_s: float) -> PartialImage | None:
        """Return the next partial picture, or None after the time-out or at the end."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._partials.get()
        except TimeoutError:
            return None

    async def _run(self, generate: Callable[[OnPartial], Awaitable[GenerationOutcome]]) -> GenerationOutcome:
        return await generate(self._partials.put_nowait)

    def _end(self, outcome: asyncio.Task[GenerationOutcome]) -> None:
        if not outcome.cancelled():
            outcome.exception()  # asyncio warns of one that nobody looked at, as after a client that hung up
        self._partials.put_nowait(None)


async def begin_stream(
    generate: Callable[[OnPartial], Awaitable[GenerationOutcome]],
    kind: str,
    options: Mapping[str, Any],
    presenter: ImagesPresenter,
    timeouts: StreamTimeouts,
    place: Callable[[], QueuePlace | None],
) -> EventSourceResponse:
    """Start a generation and return the response with its events; an error before the first event is raised.

    `place` returns the place of the call in the queue while it waits.
    """
    progress = Progress(generate)
    first = await progress.next_partial(min(timeouts.queued_s, timeouts.first_event_s))
    if first is None and place() is None and not progress.outcome.done():
        first = await progress.next_partial(timeouts.first_event_s - timeouts.queued_s)
    if first is None and progress.outcome.done():
        progress.outcome.result()

    async def events() -> AsyncIterator[bytes]:
        partial = first
        while partial is not None or not progress.outcome.done():
            if partial is None:
                yield _waiting_comment(place())
            else:
                async for piece in partial_event(kind, partial, options, progress.created_at):
                    yield piece
            partial = await progress.next_partial(timeouts.keep_alive_s)
        within_event = False
        try:
            for image in progress.outcome.result().images:
                async for piece in presenter.completed_event(kind, image):
                    within_event = True
                    yield piece
                within_event = False
        except Exception as error:
            if within_event:
                raise  # the connection is cut: the client must not take a part of a picture for all of it
            if isinstance(error, PixyProxyException):
                logger.info("event stream ended with %s", type(error).__name__)
            else:
                logger.exception("event stream ended with an unexpected error")
            yield error_event(error_body(error))

    return EventSourceResponse(events(), headers=_HEADERS)


def _waiting_comment(place: QueuePlace | None) -> bytes:
    if place is None:
        return KEEP_ALIVE
    eta = "" if place.eta_s is None else f", about {place.eta_s} s"
    return format_sse_event(comment=f"queued {place.position}{eta}")
