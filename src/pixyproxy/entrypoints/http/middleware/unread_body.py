"""Middleware that ends requests which are answered before their body is read, such as those that are refused."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 30.0
IDLE_S = 5.0
"""Seconds for which a body is discarded before its connection is closed, in all and without a byte."""


class UnreadBodyMiddleware:
    """Keeps the rest of a body from being lost, or taken for a request, on the connection of its response.

    Where the connection goes on, the server discards the rest. Where it is to be closed, a client that is still
    sending would be reset before it has read the response: the response is sent as a whole, and the rest discarded
    before it ends. A client that waits for `100 Continue` sends nothing, and the server would take its next request
    for the body: the connection is closed (RFC 9110, section 10.1.1).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        waits = headers.get("expect", "").lower() == "100-continue" and scope["http_version"] != "1.0"
        closes = scope["http_version"] == "1.0" or "close" in headers.get("connection", "").lower()
        body = _RequestBody(receive)

        async def send_closing(message: Message) -> None:
            nonlocal closes
            if message["type"] == "http.response.start":
                if waits and not body.is_begun:
                    closes = True
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            elif closes and not body.is_over and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await body.discard()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, body.receive, send_closing)


class _RequestBody:
    """The body of a request: whether it was asked for, and whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_begun = self.is_over = False

    async def receive(self) -> Message:
        self.is_begun = True
        message = await self._receive()
        self.is_over = self.is_over or not message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Receive the rest, as long as it keeps coming."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self.is_over:
                    async with asyncio.timeout(IDLE_S):
                        await self.receive()
