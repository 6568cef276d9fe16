"""Routes that pass the request to their function as it is."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send


class DirectRoute(Route):
    """A route whose function takes the request and the path parameters, as text, and returns a response.

    It skips FastAPI's resolution of dependencies and bodies, which takes 58 µs a request, and the exit stacks that go
    with it. FastAPI still documents the route, and the application's exception handlers still apply.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Iterable[str],
        include_in_schema: bool,
        **documentation: Any,
    ) -> None:
        """Build the route; the documentation is what `APIRoute` takes besides.

        Raises:
            TypeError: the endpoint takes other parameters than the request and those of the path.
        """
        super().__init__(path, endpoint, include_in_schema=include_in_schema)
        self.methods = set(methods)  # without HEAD, which reaches routes as GET
        names = list(inspect.signature(endpoint).parameters)
        if not names or set(names[1:]) != set(self.param_convertors):
            raise TypeError(f"{endpoint.__name__} must take the request and the parameters of {path}")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send), **scope["path_params"])
            await response(scope, receive, send)

        self.app = app
        self._documentation = documentation

    def documented(self) -> APIRoute:
        """Return FastAPI's form of the route, which its document is made from.

        To build them all takes as long as the rest of the application, and most processes never show the document.
        """
        return APIRoute(
            self.path,
            self.endpoint,
            methods=self.methods,
            include_in_schema=self.include_in_schema,
            **self._documentation,
        )


def direct_router(tag: str, *, in_schema: bool = True) -> APIRouter:
    """Return a router for direct routes; the name of a function is its operation id in the documentation."""
    return APIRouter(
        tags=[tag],
        route_class=DirectRoute,  # type: ignore[arg-type]  # FastAPI only constructs it
        generate_unique_id_function=lambda route: route.name,
        include_in_schema=in_schema,
    )
