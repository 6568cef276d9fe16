"""The request log: two lines for every request, whatever becomes of it, and its id."""

import logging
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.entrypoints.http.middleware.canonical_path import canonical_path
from pixyproxy.entrypoints.http.route_table import RouteTable
from pixyproxy.entrypoints.logs import request_id

logger = logging.getLogger(__name__)


_WITHOUT_MARKS = str.maketrans("", "", "-:.")


class RequestIds:
    """Ids of the form host-datetime-threadid, unique on the host.

    Two requests in the same microsecond of one thread get different ids: the second is dated one later.
    """

    def __init__(self) -> None:
        # An id is one word of ASCII, in the log as in a header.
        self._host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self) -> str:
        """A fresh id; the time in it is UTC."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        time_ = self._last.isoformat(timespec="microseconds").removesuffix("+00:00").translate(_WITHOUT_MARKS)
        return f"{self._host}-{time_}-{threading.get_native_id()}"


class RequestLogMiddleware:
    """Writes REQUEST START and REQUEST END around everything, and puts X-Request-ID on the answer.

    Plain ASGI and outermost, so that unknown paths, errors, streams and clients that hang up are logged
    too. END comes after the last byte was handed to the server, with the bytes of the body that were.
    """

    def __init__(self, app: ASGIApp, routes: RouteTable) -> None:
        self._app = app
        self._routes = routes
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_ = self._ids.next()
        scope.setdefault("state", {})["request_id"] = id_
        token = request_id.set(id_)
        # The path only: a query string holds prompts that people search for.
        what = f"{scope['method']} {scope['path']}"
        extra = {"where": self._routes.where(scope["method"], canonical_path(scope["path"]))}
        # A client that hangs up before the status line is logged as 499, as nginx does.
        status, sent = 499, 0
        began = time.perf_counter()
        header = (b"x-request-id", id_.encode())

        async def send_and_note(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        logger.info("REQUEST START %s", what, extra=extra)
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            duration_ms = (time.perf_counter() - began) * 1000
            if scope["method"] == "HEAD":
                sent = 0
            logger.info("REQUEST END %s %d %dB %.1fms", what, status, sent, duration_ms, extra=extra)
            request_id.reset(token)
