"""FastAPI with the layers of this service in place of its own."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pixyproxy.entrypoints.http.route_table import RouteTable


class Application(FastAPI):
    """An application whose requests go through what `layers` puts around its router, and through nothing else.

    FastAPI's own layers catch errors, count bodies and close files. Here `ProblemMiddleware` answers every error and
    the routes bound what they read, and those layers took longer than all the rest of a short request.
    """

    def __init__(self, layers: Callable[[ASGIApp], ASGIApp], **options: Any) -> None:
        super().__init__(**options)
        self._layers = layers

    def build_middleware_stack(self) -> ASGIApp:
        """The layers around the router; FastAPI asks for them once."""
        return self._layers(self.router)


class Dispatcher:
    """Calls the function of a direct route; what is none (files, the life of the application) is left to the router."""

    def __init__(self, app: ASGIApp, routes: RouteTable) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        function, parameters = found
        response = await function(Request(scope, receive), **parameters)
        await response(scope, receive, send)
