"""Reader of one response: it decides by the bytes whether they are events or a document, and keeps what arrived."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

from pixyproxy.adapters.openai.admission import Permit
from pixyproxy.adapters.openai.error_translation import FAILURES, DocumentRefusal
from pixyproxy.adapters.openai.reading.body import Body
from pixyproxy.adapters.openai.reading.content_coding import codings_of
from pixyproxy.adapters.openai.reading.document import MAX_RESPONSE_BYTES, read_document
from pixyproxy.adapters.openai.reading.event_parser import EventParser, ServerSentEvent, sniff_events
from pixyproxy.adapters.openai.reading.picture_finder import MAX_PICTURES, ReceivedPicture
from pixyproxy.adapters.openai.reading.stream_event import StreamEvent, StreamPictures, read_event
from pixyproxy.adapters.openai.reading.upstream_response import KEPT_BYTES, UpstreamResponse
from pixyproxy.domain.errors import GeneratorConnectionLostError, GeneratorResponseError
from pixyproxy.domain.generation import PartialImage

log = logging.getLogger(__name__)

MAX_STREAM_BYTES = 8 * MAX_RESPONSE_BYTES
"""Limit of a whole stream: several pictures and, for each, up to three partial ones that are nearly as large."""
SMALL_BYTES = 128 * 1024
"""Up to here a body needs no permit."""
PARSED_AT_ONCE_BYTES = 16 * 1024
"""Up to here parsing takes less time than handing the bytes to a thread, or ten milliseconds for a hostile body."""
_EVENTS_AT_ONCE = 100
_HEARTBEATS = b" \t\r\n"
"""Bytes that gateways send before the response, so that nothing in between closes a silent connection."""
LINGER_S = 2.0
"""Seconds that a response may be silent, or a stream go on, once it has brought all that was requested."""

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class ResponseReader:
    """Reader of a response that should bring `wanted` pictures before the loop's clock shows `deadline`.

    `rest` holds what arrived and is in no picture that was yielded, to be rescued if the call fails.
    """

    def __init__(
        self, response: UpstreamResponse, permit: Permit, executor: Executor, *, wanted: int, deadline: float
    ) -> None:
        self._response = response
        self._permit = permit
        self._executor = executor
        self._wanted = wanted
        self._deadline = deadline
        self._codings = codings_of(response.headers.get("content-encoding"))
        self._body = Body()
        self._stream = StreamPictures()
        self._events = 0
        self._has_permit = False
        self._is_too_large = False
        self._is_over = False
        self._next: asyncio.Task[bytes] | None = None

    @property
    def rest(self) -> bytes:
        return b"\n".join(part for part in (self._stream.unread, self._body.joined()) if part)

    async def read(self) -> AsyncGenerator[PartialImage | ReceivedPicture, None]:
        """Yield early views and pictures as they come; what is whole is yielded however the response ends.

        Raises one of FAILURES, or a GeneratorError, if the response ends without the pictures that were requested.
        """
        parser: EventParser | None = None
        failure: Exception | None = None
        is_document: bool | None = True if self._codings else None
        try:
            async for piece in self._pieces():
                if parser is not None:
                    await self._hold(parser.pending)
                    events = await self._run(len(piece), parser.feed, piece)
                else:
                    if is_document is None and not self._body.size:
                        piece = piece.lstrip(_HEARTBEATS)
                    self._body.add(piece)
                    await self._hold(self._body.size)
                    if is_document is None and (is_stream := sniff_events(self._body.head(64))) is not None:
                        is_document = not is_stream
                        if is_stream:
                            parser = EventParser(MAX_RESPONSE_BYTES)
                    events = await self._feed_body(parser) if parser is not None else []
                for event in events:
                    read = await self._read_event(event)
                    for item in self._stream.items(read):
                        yield item
                    if read.is_end or self._stream.found >= MAX_PICTURES:
                        self._is_over = True
                        break
                else:
                    continue
                break
        except (*FAILURES, GeneratorResponseError) as error:
            failure = error
        finally:
            if self._next is not None:
                self._next.cancel()
        async for item in self._end(parser, failure):
            yield item

    async def _end(
        self, parser: EventParser | None, failure: Exception | None
    ) -> AsyncGenerator[PartialImage | ReceivedPicture, None]:
        """Yield what is whole in what is left, then raise the failure if pictures are missing."""
        refusal: DocumentRefusal | None = failure if isinstance(failure, DocumentRefusal) else None
        unparsed = self._response.unparsed()
        if parser is not None:
            try:
                is_unread = refusal is None and not self._is_over
                for event in await self._run(len(unparsed), parser.end, unparsed) if is_unread else ():
                    for item in self._stream.items(await self._read_event(event)):
                        yield item
            except (DocumentRefusal, GeneratorResponseError) as error:
                failure = failure or error
                refusal = error if isinstance(error, DocumentRefusal) else None
        else:
            self._body.add(unparsed)
            self._permit.hold(self._body.size)
            try:
                pictures = await self._read_document()
            except (GeneratorResponseError, DocumentRefusal) as error:
                # What a broken connection left unread is no word of the upstream.
                failure = failure or error
                if self._is_too_large:
                    kept = self._body.head(KEPT_BYTES)
                    self._body.clear()
                    self._body.add(kept)
            else:
                self._body.clear()
                for picture in pictures:
                    self._stream.found += 1
                    yield picture
        refusal = refusal or self._stream.refusal
        failure = failure or refusal
        for picture in self._stream.instead(self._wanted, refused=refusal is not None):
            yield picture
        is_complete = failure is None and not self.rest
        if self._stream.found >= self._wanted or (self._stream.found and is_complete):
            return
        if self._stream.found:
            log.warning("A response ended (%s) after %d pictures", type(failure).__name__, self._stream.found)
        raise failure or self._missing()

    def _missing(self) -> Exception:
        if self._stream.unread:
            return GeneratorResponseError("The generator's stream holds no picture that can be read.")
        return GeneratorConnectionLostError("The generator's stream ended without a finished picture.")

    async def _feed_body(self, parser: EventParser) -> list[ServerSentEvent]:
        body = self._body.joined()
        self._body.clear()
        return await self._run(len(body), parser.feed, body)

    async def _read_event(self, event: ServerSentEvent) -> StreamEvent:
        self._events += 1
        if self._events % _EVENTS_AT_ONCE == 0:
            await asyncio.sleep(0)
        return await self._run(len(event.data), read_event, event)

    async def _hold(self, size: int) -> None:
        """Get a permit once the body is not small any more; until then it waits in the socket's buffers."""
        if size > SMALL_BYTES:
            await self._admit(self._response.declared_bytes)
        elif not self._body.size:
            self._has_permit = False
            self._permit.release()

    async def _admit(self, size: int | None) -> None:
        if not self._has_permit:
            self._has_permit = True
            await self._permit.admit(size, deadline=self._deadline)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of the body until it ends, or is complete by its content and silent."""
        declared = self._response.declared_bytes
        if declared is not None and declared > SMALL_BYTES:
            await self._admit(declared)
        size = 0
        loop = asyncio.get_running_loop()
        linger_until: float | None = None
        while True:
            if self._stream.found >= self._wanted and linger_until is None:
                linger_until = min(self._deadline, loop.time() + LINGER_S)
            silence_ends = linger_until or (loop.time() + LINGER_S if self._looks_complete() else None)
            if silence_ends is None:
                async with asyncio.timeout_at(self._deadline):
                    piece = await self._read_next()
            else:
                self._next = self._next or asyncio.ensure_future(self._read_next())
                await asyncio.wait([self._next], timeout=silence_ends - loop.time())
                if not self._next.done():
                    if linger_until or await self._is_complete():
                        return
                    await asyncio.wait([self._next], timeout=self._deadline - loop.time())
                if not self._next.done():
                    raise TimeoutError
                piece, self._next = self._next.result(), None
            if not piece:
                return
            left = (MAX_STREAM_BYTES if not self._body.size else MAX_RESPONSE_BYTES * max(1, self._wanted)) - size
            size += len(piece)
            yield piece[: max(0, left)]
            if len(piece) > left:
                self._is_too_large = True
                raise GeneratorResponseError("The generator's response is too large.")

    async def _read_next(self) -> bytes:
        return await anext(self._response.pieces, b"")

    def _looks_complete(self) -> bool:
        return not self._codings and self._body.tail(16).rstrip().endswith((b"}", b"]"))

    async def _is_complete(self) -> bool:
        """Return whether the body, of which no more has come for a while, holds all that was requested."""
        try:
            pictures = await self._read_document()
        except (GeneratorResponseError, DocumentRefusal):
            return False
        return len(pictures) >= self._wanted

    async def _read_document(self) -> Sequence[ReceivedPicture]:
        body = self._body
        return await self._run(body.size, lambda: read_document(body.joined(), self._response))

    async def _run(self, size: int, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        if size <= PARSED_AT_ONCE_BYTES:
            return function(*args)
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
        except RuntimeError:
            # The generator is closed; what had arrived by then is read all the same.
            return await asyncio.to_thread(function, *args)
        return await future
