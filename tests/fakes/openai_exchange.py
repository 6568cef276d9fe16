"""One request that reached the fake upstream, and the means to answer it well or badly."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.fakes.openai_forms import Part, fields, parse_form

JSON = "application/json"
PIECE = 64 * 1024


@dataclass
class Received:
    """An entry of the ledger: what came, what was done with it, and whether it costs money."""

    number: int
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)
    behaviour: str = ""
    charged: bool = False
    answered: bool = False
    """The whole answer was handed to the kernel."""
    abandoned: bool = False
    """The client went away while it waited."""
    bytes_sent: int = 0
    ended: bool = False
    """Nothing more happens to it."""
    parts: list[Part] = field(default_factory=list)
    """What a form holds; its `body` is not kept."""

    @property
    def json(self) -> Any:
        """The body, or the fields of a form that are no files, all of them texts."""
        return fields(self.parts) if self.parts else json.loads(self.body)

    @property
    def files(self) -> list[Part]:
        return [part for part in self.parts if part.filename is not None]

    @property
    def pictures(self) -> int:
        """How many pictures it asks for."""
        return int(self.json.get("n") or 1)

    @property
    def streamed(self) -> bool:
        return self.json.get("stream") in (True, "true")

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key")


class Exchange:
    """A request and the socket its answer goes out on; `record` is kept in the ledger."""

    def __init__(
        self, record: Received, base_url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.record = record
        self.base_url = base_url
        self.keep_alive = record.headers.get("connection", "").lower() != "close"
        self.reset_on_next_use = False
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Write and wait until the client takes it in; raises ConnectionError once the client is gone."""
        self._writer.write(data)
        await self._writer.drain()
        self.record.bytes_sent += len(data)

    async def head(self, status: int = 200, content_type: str = JSON, **headers: str) -> None:
        """Send status line and headers only; names are given with underscores for hyphens."""
        lines = [f"HTTP/1.1 {status} {reason(status)}", f"Content-Type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines.append("Connection: " + ("keep-alive" if self.keep_alive else "close"))
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def answer(self, body: bytes, status: int = 200, content_type: str = JSON, **headers: str) -> None:
        """Send a whole, well-formed answer."""
        await self.head(status, content_type, Content_Length=str(len(body)), **headers)
        for start in range(0, len(body), PIECE):
            await self.send(body[start : start + PIECE])
        self.record.answered = True

    async def answer_json(self, document: object, status: int = 200, **headers: str) -> None:
        await self.answer(json.dumps(document).encode(), status, **headers)

    async def pass_time(self, seconds: float | None) -> None:
        """Wait that long (None: for ever), but no longer than the client does."""
        try:
            await asyncio.wait_for(self._reader.read(1), seconds)
        except TimeoutError:
            return
        self.record.abandoned = True
        raise ConnectionAbortedError("the client hung up")

    def reset(self) -> None:
        """Break the connection off with RST, losing what is still on the way."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def hang_up(self) -> None:
        """End the connection with FIN where nobody expects it."""
        self.keep_alive = False
        await self._writer.drain()


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


async def read_request(reader: asyncio.StreamReader, connection: int, number: int) -> Received | None:
    """The next request of a connection, or None at its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        return None
    method, path, *_ = [*first.split(" "), "", ""]
    parts = parse_form(body, headers.get("content-type", ""))
    return Received(number, connection, method, path, headers, b"" if parts else body, parts=parts)


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def error_document(message: str, kind: str, code: str | None = None, param: str | None = None) -> Mapping[str, Any]:
    """An error as OpenAI words it (https://platform.openai.com/docs/guides/error-codes)."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
