"""Middleware that logs two lines for every request, and gives it an id."""

import logging
import re
import socket
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import CodeType

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.domain.accounts.authority import is_admin
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.middleware.canonical_path import canonical_path
from pixyproxy.entrypoints.http.middleware.host import PROBES
from pixyproxy.entrypoints.logs import escaped_word, request_id
from pixyproxy.named_proxies import parse_address
from pixyproxy.ports.observation.metrics import Metrics
from pixyproxy.ports.observation.tracer import Tracer

logger = logging.getLogger(__name__)

_WITHOUT_PUNCTUATION = str.maketrans("", "", "-:.")
_FILE_NAME = re.compile(r"(?<=/content/).+", re.DOTALL)
_CLIENT_DISCONNECTED = 499
"""The logged status of a request whose client hung up before the status line, as nginx has it."""


class RequestIds:
    """Generates ids of the form host-datetime-threadid, unique on the host.

    Two requests in the same microsecond get different ids: the second is dated one microsecond later.
    """

    def __init__(self) -> None:
        # An id is one word of ASCII, in the log as in a header.
        self._host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self) -> str:
        """Return a new id; the time in it is UTC."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        digits = self._last.isoformat(timespec="microseconds").removesuffix("+00:00").translate(_WITHOUT_PUNCTUATION)
        return f"{self._host}-{digits}-{threading.get_native_id()}"


def route_of(routes: Sequence[BaseRoute], method: str, path: str) -> Route | None:
    """Return the route that handles a request, None if none does."""
    for route in routes:
        if isinstance(route, Route) and method in (route.methods or ()) and route.path_regex.match(path):
            return route
    return None


def endpoint_location(route: Route | None) -> str:
    """Return `name:line` of the function of a route, `-:0` if there is none."""
    code: CodeType | None = None if route is None else getattr(route.endpoint, "__code__", None)
    return "-:0" if code is None else f"{code.co_name}:{code.co_firstlineno}"


class RequestLogMiddleware:
    """Logs REQUEST START and REQUEST END for every request, counts it, and adds X-Request-ID to the response.

    It is outermost, so that unknown paths, errors, streams and clients that hang up are logged too. END comes after
    the last byte was passed to the server, with the number of bytes of the body. Health probes log at DEBUG.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        metrics: Metrics,
        tracer: Tracer,
        *,
        with_callers: bool = False,
    ) -> None:
        """Take the routes that handle requests, and true to log each caller's name and address."""
        self._app = app
        self._routes = routes
        self._metrics = metrics
        self._tracer = tracer
        self._with_callers = with_callers
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_ = self._ids.next()
        scope.setdefault("state", {})["request_id"] = id_
        token = request_id.set(id_)
        self._tracer.annotate(request_id=id_)
        # A query string holds prompts that people search for, and a file name is made from one.
        subject = f"{scope['method']} {_FILE_NAME.sub('*', scope['path'])}"
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        path = canonical_path(scope["path"])
        level = logging.DEBUG if path in PROBES else logging.INFO
        route = route_of(self._routes, method, path)
        extra = {"where": endpoint_location(route)}
        status, sent = _CLIENT_DISCONNECTED, 0
        start = time.perf_counter()
        header = (b"x-request-id", id_.encode())

        async def send_and_count(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
                # To administrators only: to others it would tell, more exactly than a clock outside, what is private.
                if is_admin(scope["state"].get("user")):
                    app_ms = (time.perf_counter() - start) * 1000
                    message["headers"].append((b"server-timing", b"app;dur=%.1f" % app_ms))
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        logger.log(level, "REQUEST START %s", subject, extra=extra)
        try:
            await self._app(scope, receive, send_and_count)
        finally:
            duration_ms = (time.perf_counter() - start) * 1000
            if scope["method"] == "HEAD":
                sent = 0
            caller = _caller(scope) if self._with_callers else ""
            logger.log(level, "REQUEST END %s %d %dB %.1fms%s", subject, status, sent, duration_ms, caller, extra=extra)
            request_id.reset(token)
            # Paths and methods that no route has are any text.
            counted = ("other", "other") if route is None else (method, route.path)
            self._metrics.request_ended(*counted, status)


def _caller(scope: Scope) -> str:
    """Return the name and address of the caller as they are found in the request once it was handled."""
    user: User | None = scope["state"].get("user")
    name = "-" if user is None else escaped_word(user.username)
    host = scope["client"][0] if scope.get("client") else "-"
    # A socket for both kinds of addresses has those of IPv4 within those of IPv6.
    return f" user={name} from={escaped_word(parse_address(host) or host)}"
