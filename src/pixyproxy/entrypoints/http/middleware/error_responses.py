"""Middleware that answers errors, and the choice of the form in which they are answered."""

import asyncio
import logging

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.domain.errors import PixyProxyException, ServiceStoppedError
from pixyproxy.entrypoints.http.openai_api.error_body import error_body, is_openai_path, openai_error_response
from pixyproxy.entrypoints.http.openai_api.images_response import error_event
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.representation.problems import describe_problem, problem_response
from pixyproxy.entrypoints.http.streaming.image_events import problem_event

logger = logging.getLogger(__name__)


async def respond_to_error(request: Request, error: Exception) -> Response:
    """Return the response to an error, in the form that the clients of the path know."""
    if is_openai_path(request.scope["path"]):
        return openai_error_response(request, error)
    if wants_page(request):
        pages: PageRenderer = request.app.state.pages
        problem, headers = describe_problem(request, error)
        return pages.render(request, "error.html", problem["status"], headers, problem=problem)
    return problem_response(request, error)


def wants_page(request: Request) -> bool:
    """Return whether a browser shows the response to a person: programs that take anything get a problem document."""
    ranges = ",".join(request.headers.getlist("accept")).lower().split(",")
    return any(item.partition(";")[0].strip() == "text/html" for item in ranges)


class ErrorMiddleware:
    """Answers what the exception handlers of the application do not: errors of other middleware, bugs, and the end.

    FastAPI's own handler of unexpected errors is outside of all middleware: its responses would have no request id,
    no CORS headers and no line in the request log. Requests that are cancelled, which only a server does that ends at
    once, are answered too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = _StartedResponse(send)
        try:
            await self._answer(scope, receive, response)
        except asyncio.CancelledError:
            await _send_away(scope, receive, response)

    async def _answer(self, scope: Scope, receive: Receive, response: "_StartedResponse") -> None:
        try:
            await self._app(scope, receive, response.send)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            if response.started:
                # The server cuts the connection of a response without its last part: the only sign left to the client
                # that it is not whole.
                cause = error.__cause__ or error  # Starlette wraps errors that it may not answer any more
                trace = None if isinstance(cause, PixyProxyException) else cause
                logger.error("response cut short: %s: %s", type(cause).__name__, cause, exc_info=trace)
                return
            answer = await respond_to_error(Request(scope, receive), error)
            await answer(scope, receive, response.send)


class _StartedResponse:
    """The messages of a response on their way to the client: whether it has begun or ended, and if it has events."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = self.ended = self.has_events = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            fields = dict(message.get("headers", ()))
            self.has_events = fields.get(b"content-type", b"").startswith(b"text/event-stream")
        else:
            self.ended = not message.get("more_body", False)
        await self._send(message)


def _event_of(scope: Scope, error: Exception) -> bytes:
    """Return the event that ends a stream with an error, in the form that the clients of the path know."""
    return error_event(error_body(error)) if is_openai_path(scope["path"]) else problem_event(Request(scope), error)


async def _send_away(scope: Scope, receive: Receive, response: _StartedResponse) -> None:
    """Answer a request that the end of the service interrupts, in the form that is still possible."""
    caller = scope.get("state", {}).get("caller")
    if caller is not None and caller.guids:
        error = ServiceStoppedError(
            "The service stopped before the picture was made; it may have been paid for. Get the image by this GUID to "
            "learn its outcome. To have another one made and paid for, send the request with a new Idempotency-Key.",
            guid=caller.guids[0],
        )
        error.may_have_been_paid = True
    else:
        error = ServiceStoppedError("The service stopped before it could answer: try again in a moment.")
    if not response.started:
        answer = await respond_to_error(Request(scope, receive), error)
        await answer(scope, receive, response.send)
    elif response.has_events and not response.ended:
        await response.send({"type": "http.response.body", "body": _event_of(scope, error), "more_body": False})
    else:
        logger.error("response cut short: the service stops")
