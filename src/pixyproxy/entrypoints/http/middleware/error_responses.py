"""Middleware that answers errors, and the choice of the form in which they are answered."""

import logging

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.http.openai_api.error_body import is_openai_path, openai_error_response
from pixyproxy.entrypoints.http.representation.problems import problem_response

logger = logging.getLogger(__name__)


async def respond_to_error(request: Request, error: Exception) -> Response:
    """Return the response to an error, in the form that the clients of the path know."""
    if is_openai_path(request.scope["path"]):
        return openai_error_response(request, error)
    return problem_response(request, error)


class ErrorMiddleware:
    """Answers what the exception handlers of the application do not: errors of other middleware, and bugs.

    FastAPI's own handler of unexpected errors is outside of all middleware: its responses would have no request id,
    no CORS headers and no line in the request log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            if started:
                # The server cuts the connection of a response without its last part: the only sign left to the client
                # that it is not whole.
                cause = error.__cause__ or error  # Starlette wraps errors that it may not answer any more
                trace = None if isinstance(cause, PixyProxyException) else cause
                logger.error("response cut short: %s: %s", type(cause).__name__, cause, exc_info=trace)
                return
            response = await respond_to_error(Request(scope, receive), error)
            await response(scope, receive, send)
