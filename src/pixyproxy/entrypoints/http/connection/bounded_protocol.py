"""HTTP/1 with clients that are not trusted: bounds of bytes and of time, and requests that wait their turn."""

import logging
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from pixyproxy.entrypoints.http.connection.connections import Connections
from pixyproxy.entrypoints.http.connection.http_protocol import HTTPProtocol
from pixyproxy.entrypoints.http.connection.tcp_socket import bytes_acknowledged, reset
from pixyproxy.entrypoints.http.middleware.security_fields import FIELDS, NOTHING

logger = logging.getLogger(__name__)

_PIECE_BYTES = 4096
"""Bytes that are parsed at once. No more are parsed while a request waits for the one before it, so that few wait."""
_CHUNK_BYTES = 20
"""Bytes besides the body that a chunk may have: 16 digits of its length and two line ends."""
_BETWEEN, _HEAD, _BODY = range(3)
"""The parts of a request that may come next; between requests comes a head."""


class _HeadTooLargeError(Exception):
    """A request with too many header fields, or too many bytes besides its body."""


class BoundedProtocol(HTTPProtocol):
    """A connection that ends when its client sends too much or too slowly, or does not read.

    A request whose headers are too large is 431, one that comes too slowly 408. A request that is handled may take
    as long as it needs, and a response may pause; only bytes that wait for the client to read them count as unread.
    """

    def __init__(self, *args: Any, connections: Connections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections = connections
        self._limits = connections.limits
        self._part = _BETWEEN
        self._begun = 0  # requests
        self._since = connections.now  # the connection, the head or the idle time began
        self._head_bytes = 0
        self._body_bytes = self._framing_bytes = 0  # of all requests
        self._body_checked = 0
        self._body_due = 0.0  # the time at which a body is too slow unless more of it comes
        self._unparsed = b""
        self._running: RequestResponseCycle | None = None
        self._refusal: bytes | None = None
        self._lingers = False
        self._read = 0
        self._read_at: float | None = None

    @property
    def _is_busy(self) -> bool:
        running = self._running
        return running is not None and not running.response_complete and not running.disconnected

    def connection_made(self, transport: Any) -> None:
        """Accept the connection, or refuse it if there are too many."""
        has_room = self._connections.make_room()
        self._connections.open.add(self)
        super().connection_made(transport)
        if has_room:
            self._connections.waiting[self] = None
        else:
            self._refusal = self._last_response(503, "Too many connections: try again in a moment.")
            transport.write(self._refusal)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is handled, which need not be the last that arrived."""
        self._connections.open.discard(self)
        self._connections.waiting.pop(self, None)
        self._unparsed = b""
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def shutdown(self) -> None:
        """End the connection at once, or when the request that is handled is answered."""
        if self._is_busy:
            super().shutdown()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, or keep it while a request waits for the one before it."""
        if self._refusal is not None:
            return
        if self._unparsed or self.pipeline:
            self._unparsed += data
            self.flow.pause_reading()
        elif len(data) <= _PIECE_BYTES:
            self._parse_piece(data)
        else:
            self._parse(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if self._begun:
            self._since = self._connections.now
        self._begun += 1
        self._part = _HEAD
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field; a trailer is dropped, because the request is with the application already."""
        if self._part == _HEAD:
            super().on_header(name, value)
            if len(self.headers) > self._limits.head_fields:
                raise _HeadTooLargeError

    def on_headers_complete(self) -> None:
        """Start the request, or let it wait for the one before it."""
        if self._head_bytes > self._limits.head_bytes - _PIECE_BYTES and self._size_of_head() > self._limits.head_bytes:
            raise _HeadTooLargeError
        super().on_headers_complete()
        self._part = _BODY
        self._body_due = self._connections.now + self._limits.body_grace_s
        self._connections.waiting.pop(self, None)

    def on_chunk_header(self) -> None:
        """Allow for the framing of a chunk."""
        self._framing_bytes += _CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        """Hand on a part of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, which may have been answered before."""
        super().on_message_complete()
        self._part = _BETWEEN
        if not self._is_busy:
            self._wait()

    def on_response_complete(self) -> None:
        """Start the next request, or wait for one; no timer is needed, as uvicorn's own method has it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._refuse()
            return
        else:
            self._wait()
        if self._unparsed and not self.pipeline:
            data, self._unparsed = self._unparsed, b""
            self._parse(data)
        if not self._unparsed:
            self.flow.resume_reading()

    def check(self, elapsed_s: float) -> None:
        """End the connection if its client is too slow; `elapsed_s` is the time since the last check."""
        waited_s = self._connections.now - self._since
        if self._lingers:
            if waited_s > self._limits.linger_s:
                self.transport.abort()
            return
        if self.transport.get_write_buffer_size():
            self._check_reading()
            return
        self._read_at = None
        if self._refusal is not None or self.transport.is_closing():
            return
        if self._part == _BODY and not self.pipeline:
            self._check_body(elapsed_s, waited_s)
        elif self._is_busy:
            return
        elif self._part == _HEAD and waited_s > self._limits.head_s:
            self._end(408, "The headers of the request took too long.")
        elif waited_s > (self._limits.idle_s if self._begun else self._limits.head_s):
            self.transport.close()
        else:
            self._connections.waiting.setdefault(self)

    def drop(self) -> None:
        """End the connection, which waits for a request."""
        self.transport.close()

    def _parse(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            if self._refusal is not None:
                return
            if self.pipeline:
                self._unparsed = data[start:]
                self.flow.pause_reading()
                return
            self._parse_piece(data[start : start + _PIECE_BYTES])

    def _parse_piece(self, piece: bytes) -> None:
        part, begun = self._part, self._begun
        before = self._body_bytes + self._framing_bytes
        super().data_received(piece)
        if self._part == _BETWEEN or self._refusal is not None:
            return
        # Where in the piece a request began is known only if it is the first in it.
        if self._begun - begun <= (part == _BETWEEN):
            size = len(piece) + before - self._body_bytes - self._framing_bytes
            self._head_bytes = max(self._head_bytes + size, -self._limits.head_bytes)
            if self._head_bytes > self._limits.head_bytes:
                self._on_parser_error(_HeadTooLargeError())

    def _size_of_head(self) -> int:
        """Return the bytes of a head whose last piece is not counted yet."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _on_parser_error(self, error: Exception) -> None:
        if isinstance(error, _HeadTooLargeError) or isinstance(error.__context__, _HeadTooLargeError):
            limits = self._limits
            text = (
                f"The request has more than {limits.head_bytes} bytes besides its body, or {limits.head_fields} fields."
            )
            self._end(431, text)
        else:
            self._end(400, "Invalid HTTP request received.")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _wait(self) -> None:
        """Begin to wait for a request, unless the rest of one is still to come, or of a response to be read."""
        self._since = self._connections.now
        if self._part != _BODY and not self.transport.get_write_buffer_size():
            self._connections.waiting[self] = None

    def _check_body(self, elapsed_s: float, waited_s: float) -> None:
        now, limits, cycle = self._connections.now, self._limits, self.cycle
        if self.flow.read_paused or cycle.waiting_for_100_continue:
            self._body_due += elapsed_s  # the client waits for this side
        ahead_s = (self._body_bytes - self._body_checked) / limits.body_rate
        self._body_checked = self._body_bytes
        self._body_due = min(self._body_due + ahead_s, now + limits.silence_s)
        # The rest of a body whose request is answered already is read for a while, so that the client sees the answer.
        if now > self._body_due or (cycle.response_complete and waited_s > limits.silence_s):
            self._end(408, "The body of the request comes too slowly.")

    def _check_reading(self) -> None:
        now, read = self._connections.now, bytes_acknowledged(self.transport)
        if self._read_at is None or abs(read - self._read) >= self._limits.read_bytes:
            self._read, self._read_at = read, now
        elif now - self._read_at > self._limits.silence_s:
            logger.info("cut the connection of %s, which does not read its response", self.client)
            reset(self.transport)

    def _end(self, status: int, reason: str) -> None:
        """End the connection because of a request that cannot be read, once those before it are answered."""
        logger.info("end the connection of %s with %d: %s", self.client, status, reason)
        self._refusal = self._last_response(status, reason)
        self._unparsed = b""
        if self._part == _BODY and self.pipeline:
            self.pipeline.popleft()  # the one whose body is broken
        elif self._part == _BODY:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not self._is_busy:
            self._refuse()

    def _refuse(self) -> None:
        """Send the refusal and read on for a while: closing at once could reset it under a client that still sends."""
        assert self._refusal is not None  # noqa: S101 - for the type checker
        self._connections.waiting.pop(self, None)
        self._since = self._connections.now
        self._lingers = True
        self.transport.write(self._refusal)
        self.transport.write_eof()
        self.flow.resume_reading()

    def _last_response(self, status: int, reason: str) -> bytes:
        fields = [*self.server_state.default_headers, *FIELDS, NOTHING]
        fields += [(b"content-type", b"text/plain; charset=utf-8")]
        fields += [(b"content-length", b"%d" % len(reason)), (b"connection", b"close")]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields.append((b"retry-after", b"1"))
        lines = [name + b": " + value + b"\r\n" for name, value in fields]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", reason.encode()])
