"""Record of one request's socket: whether the request was sent, and bytes that never became part of a body.

The HTTP client drops what it cannot parse: a wrong header, broken framing, bytes after the declared length. All of it
may be a picture that was paid for. The record listens through the client's `trace` extension.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

READ_BYTES = 256 * 1024
"""Bytes that are read at once; the client's own 64 KiB cost a third more time for a picture."""
READ_ON_BYTES = 64 * 1024 * 1024
READ_ON_S = 2.0
"""Limits of reading what follows a fault in a response: bytes in all, and seconds of silence."""

_FRAMING_BYTES = 64
"""Bytes that may follow the last piece of a correct body: the end of its chunks."""


class AddressRefusedError(OSError):
    """A connection to an address to which no request may be sent."""


class SocketRecord:
    """Record of one request to this host, an ASCII name or an address.

    `may_connect`, if given, is asked with the IP address of a direct connection to the request's host, before
    anything is sent to it.
    """

    def __init__(self, host: str, may_connect: Callable[[str], bool] | None = None) -> None:
        self._host = host
        self._may_connect = may_connect
        self._connecting_to = ""
        self._read: Callable[[int, float | None], Awaitable[bytes]] | None = None
        self._pieces: list[bytes] = []
        self.is_sent = False

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Note an event of the HTTP client."""
        if event.endswith(".connect_tcp.started"):
            self._connecting_to = info["host"]
        elif event.endswith(".connect_tcp.complete"):
            await self._check(info["return_value"])
            self._watch(info["return_value"])
        elif event.endswith(".start_tls.complete"):
            self._pieces.clear()
            self._watch(info["return_value"])
        elif event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self._pieces.clear()
            self.is_sent = True
        elif event.endswith((".receive_response_headers.failed", ".receive_response_body.failed")):
            # The client gives up at the first wrong byte; the picture may come after it.
            if isinstance(info["exception"], httpcore2.RemoteProtocolError):
                await self._read_on()
        elif event.endswith(".receive_response_body.complete") and len(self.undelivered()) > _FRAMING_BYTES:
            await self._read_on()  # the declared length was too short

    def delivered(self, piece: bytes) -> None:
        """Forget what was read up to the end of this piece of the body."""
        last = self._pieces[-1] if self._pieces else b""
        end = last.find(piece) + len(piece) if not last.endswith(piece) else len(last)
        self._pieces = [last[end:]] if 0 < end < len(last) else []

    def undelivered(self) -> bytes:
        """Return the bytes that were read and that no piece of the body holds."""
        return b"".join(self._pieces)

    async def _read_on(self) -> None:
        """Read until the connection ends or is silent; a cancelled request ends it as well."""
        with suppress(httpcore2.NetworkError, httpcore2.TimeoutException):
            size = 0
            while self._read and size < READ_ON_BYTES and (data := await self._read(READ_BYTES, READ_ON_S)):
                size += len(data)

    async def _check(self, stream: Any) -> None:
        if self._may_connect is None or self._connecting_to != self._host:
            return  # a proxy, which looks up the name itself
        address = stream.get_extra_info("server_addr")[0]
        if not self._may_connect(address):
            await stream.aclose()
            raise AddressRefusedError(address)

    def _watch(self, stream: Any) -> None:
        read = stream.read

        async def recorded(max_bytes: int, timeout: float | None = None) -> bytes:
            data: bytes = await read(max(max_bytes, READ_BYTES), timeout)
            self._pieces.append(data)
            return data

        self._read = recorded
        stream.read = recorded


_current: ContextVar[SocketRecord | None] = ContextVar("record of the last request of this task", default=None)


async def record_socket(request: httpx2.Request) -> None:
    """Attach a record to a request that has none; a hook of the HTTP client."""
    record = request.extensions.setdefault("record", SocketRecord(request.url.raw_host.decode("ascii")))
    request.extensions["trace"] = record.trace
    _current.set(record)


def begin_request() -> None:
    """Forget the record of the request before, so that an error before anything is connected finds none."""
    _current.set(None)


def current_record() -> SocketRecord | None:
    """Return the record of the request that this task began last."""
    return _current.get()


def record_of(request: httpx2.Request) -> SocketRecord:
    """Return the record of a request."""
    record: SocketRecord = request.extensions["record"]
    return record
