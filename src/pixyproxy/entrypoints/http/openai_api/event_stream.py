"""A stream of server-sent events that tells how a generation gets on, and never stops it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pixyproxy.application.generation.recorder import GenerationOutcome
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.generation import PartialImage
from pixyproxy.entrypoints.http.openai_api.error_body import document_of
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter, error_event, partial_event
from pixyproxy.ports.image_generator import OnPartial

logger = logging.getLogger(__name__)

KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """How long, in seconds, the first event is awaited before the status line, and then each between comments.

    While no status line was sent an error can still be an answer of its own. It has to leave before the proxies
    on the way lose patience, which is after 60 s with most.
    """

    first_event_s: float = 45.0
    keep_alive_s: float = 15.0


@dataclass(slots=True)
class Progress:
    """What a generation hands out on its way, and its end."""

    partials: asyncio.Queue[PartialImage]
    outcome: asyncio.Task[GenerationOutcome]
    created_at: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, make: Callable[[OnPartial], Awaitable[GenerationOutcome]]) -> "Progress":
        """Begin to make something."""
        partials: asyncio.Queue[PartialImage] = asyncio.Queue()

        async def run() -> GenerationOutcome:
            return await make(partials.put_nowait)

        outcome = asyncio.create_task(run())
        # Where the client has gone nobody else looks at it.
        outcome.add_done_callback(lambda task: task.cancelled() or task.exception())
        return cls(partials, outcome)

    async def wait(self, timeout_s: float) -> PartialImage | None:
        """The next early view; None if there is none in time, or all is over."""
        if self.partials.empty() and not self.outcome.done():
            get = asyncio.create_task(self.partials.get())
            await asyncio.wait([get, self.outcome], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if get.done():
                return get.result()
            get.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await get
        return None if self.partials.empty() else self.partials.get_nowait()


class EventStream(Response):
    """The events of a generation: early views, comments while there is nothing to tell, the pictures or an error."""

    media_type = "text/event-stream"

    def __init__(
        self,
        progress: Progress,
        first: PartialImage | None,
        kind: str,
        options: Mapping[str, Any],
        presenter: ImagesPresenter,
        timeouts: StreamTimeouts,
    ) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]
        self._progress = progress
        self._first = first
        self._kind = kind
        self._options = options
        self._presenter = presenter
        self._timeouts = timeouts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until all is told or the client has gone; the generation goes on either way."""
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._pieces():
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _pieces(self) -> AsyncIterator[bytes]:
        progress, partial = self._progress, self._first
        while True:
            if partial is not None:
                yield await partial_event(self._kind, partial, self._options, progress.created_at)
            elif progress.outcome.done():
                break
            else:
                yield KEEP_ALIVE
            partial = await progress.wait(self._timeouts.keep_alive_s)
        try:
            created = await progress.outcome
            for image in created.images:
                yield await self._presenter.completed(self._kind, image, created)
        except Exception as error:
            expected = isinstance(error, PixyProxyException)
            logger.log(
                logging.INFO if expected else logging.ERROR,
                "stream ended with %s",
                type(error).__name__,
                exc_info=None if expected else error,
            )
            yield error_event(document_of(error))


async def begin_stream(
    make: Callable[[OnPartial], Awaitable[GenerationOutcome]],
    kind: str,
    options: Mapping[str, Any],
    presenter: ImagesPresenter,
    timeouts: StreamTimeouts,
) -> EventStream:
    """Make something and wait for its first sign of life; raises what it failed with if it failed before."""
    progress = Progress.of(make)
    first = await progress.wait(timeouts.first_event_s)
    if first is None and progress.outcome.done():
        await progress.outcome
    return EventStream(progress, first, kind, options, presenter, timeouts)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
