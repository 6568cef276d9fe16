"""Middleware that notices callers who leave before they have the whole response."""

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.application.generation.callers import Caller, Departures


class DepartureMiddleware:
    """Puts the `Caller` of a POST into `state["caller"]`, and tells `Departures` if the caller leaves.

    That is: the client hangs up, or the request ends without a whole response, as at a shutdown, or with an error in
    place of pictures. A response counts as received once its last bytes were passed to the operating system: nobody
    knows more.
    """

    def __init__(self, app: ASGIApp, departures: Departures) -> None:
        self._app = app
        self._departures = departures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        connection = WatchedConnection(receive, send, self._departures, state.get("address", ""))
        state["caller"] = connection.caller
        try:
            await self._app(scope, connection.receive, connection.send)
        finally:
            connection.close()


class WatchedConnection:
    """The two directions of a request, watched for the client's hang-up from the end of its body on."""

    def __init__(self, receive: Receive, send: Send, departures: Departures, address: str) -> None:
        self.caller = Caller(address)
        self._receive = receive
        self._send = send
        self._departures = departures
        self._hung_up = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._answered = False

    async def receive(self) -> Message:
        if self._watcher is not None:
            await self._hung_up.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._watcher = asyncio.create_task(self._watch())
        return message

    async def send(self, message: Message) -> None:
        """Send a message; the end of a response with pictures is sent apart, once its bytes are on their way."""
        if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
            self.caller.got_error = True
        if not self.caller.guids or message["type"] != "http.response.body" or message.get("more_body", False):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        # This waits until the server's buffer is nearly empty. If a hang-up ended the wait, `_watch` learns of it next.
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        await asyncio.sleep(0)
        if not self.caller.has_left and not self.caller.got_error:
            self._answered = True
            self._departures.answered(self.caller)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def close(self) -> None:
        """End watching; a response that is not whole by now will not be."""
        if self._watcher is not None:
            self._watcher.cancel()
        if not self._answered and not self.caller.has_left:
            self._departures.leave(self.caller)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answered:
            self._departures.leave(self.caller)
        self._hung_up.set()
