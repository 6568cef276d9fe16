"""Routes that call their function with the request as it is."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class DirectRoute(APIRoute):
    """A route whose function takes the request and the parameters of the path, as text, and returns a response.

    FastAPI documents it, and that is all it is needed for: its search for dependencies, bodies and conversions
    takes more time than everything else that is done for a request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What is called for each request; raises TypeError for a function that asks for more."""
        function = self.endpoint
        names = list(inspect.signature(function).parameters)
        if not names or set(names[1:]) != set(self.param_convertors):
            raise TypeError(f"{function.__name__} must take the request and the parameters of {self.path}")

        async def handle(request: Request) -> Response:
            response: Response = await function(request, **request.path_params)
            return response

        return handle


def direct_router(tag: str, *, in_schema: bool = True) -> APIRouter:
    """A router for direct routes, each known in the documentation by the name of its function."""
    return APIRouter(
        tags=[tag],
        route_class=DirectRoute,
        generate_unique_id_function=lambda route: route.name,
        include_in_schema=in_schema,
    )
