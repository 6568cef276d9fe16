"""Routes that pass the request to their function as it is."""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Receive, Scope, Send


class DirectRoute(APIRoute):
    """A route whose function takes the request and the path parameters, as text, and returns a response.

    It skips FastAPI's resolution of dependencies and bodies, which takes 58 µs a request, and the exit stacks that go
    with it. FastAPI still documents the route, and the application's exception handlers still apply.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Build the route.

        Raises:
            TypeError: the endpoint takes other parameters than the request and those of the path.
        """
        super().__init__(path, endpoint, **options)
        names = list(inspect.signature(endpoint).parameters)
        if not names or set(names[1:]) != set(self.param_convertors):
            raise TypeError(f"{endpoint.__name__} must take the request and the parameters of {path}")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send), **scope["path_params"])
            await response(scope, receive, send)

        self.app = app


def direct_router(tag: str, *, in_schema: bool = True) -> APIRouter:
    """Return a router for direct routes; the name of a function is its operation id in the documentation."""
    return APIRouter(
        tags=[tag],
        route_class=DirectRoute,
        generate_unique_id_function=lambda route: route.name,
        include_in_schema=in_schema,
    )
