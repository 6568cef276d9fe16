"""The application: the use cases of a container behind routes and layers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial, reduce
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from pixyproxy.application.commands import CreateImage, UpdateImage
from pixyproxy.containers import Container, opened
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.docs_routes import add_docs
from pixyproxy.entrypoints.http.api.read_routes import build_read_router
from pixyproxy.entrypoints.http.api.service_routes import build_service_router
from pixyproxy.entrypoints.http.api.thumbnail_routes import build_thumbnail_router
from pixyproxy.entrypoints.http.api.write_routes import build_write_router
from pixyproxy.entrypoints.http.application import Application, Dispatcher
from pixyproxy.entrypoints.http.middleware.authentication import AuthenticationMiddleware
from pixyproxy.entrypoints.http.middleware.canonical_path import CanonicalPathMiddleware
from pixyproxy.entrypoints.http.middleware.request_log import RequestLogMiddleware
from pixyproxy.entrypoints.http.openai_api import documentation as v1_documentation
from pixyproxy.entrypoints.http.openai_api.error_body import OpenAIErrorHandler, is_below
from pixyproxy.entrypoints.http.openai_api.event_stream import StreamTimeouts
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter
from pixyproxy.entrypoints.http.openai_api.routes import build_v1_router
from pixyproxy.entrypoints.http.representation import openapi
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.problems import ProblemHandler, ProblemMiddleware
from pixyproxy.entrypoints.http.route_table import RouteTable

_DESCRIPTION = """Pictures from prompts: made once, stored, found again and delivered by GUID.

Every path answers with and without a trailing slash, and `HEAD` works wherever `GET` does. Errors are
`application/problem+json` (RFC 9457). Times are UTC in ISO 8601."""


# What OpenAI's SDK for browsers sends along.
_SDK_HEADERS = [
    f"X-Stainless-{name}"
    for name in (
        "Arch", "Lang", "OS", "Package-Version", "Retry-Count", "Runtime", "Runtime-Version", "Timeout",
    )
]  # fmt: skip
_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "PATCH", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "Prefer", *_SDK_HEADERS],
    "expose_headers": [
        "ETag",
        "Idempotent-Replayed",
        "Link",
        "Location",
        "Retry-After",
        "X-Request-ID",
        "X-Should-Retry",
    ],
}


def create_app(container: Container) -> FastAPI:
    """An ASGI application that opens the container's parts when it starts and closes them when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with opened(container):
            maintenance = asyncio.create_task(container.upkeep().run())
            warning = asyncio.create_task(models.warn_of_shutdown())
            placeholders = asyncio.create_task(container.placeholders().run())
            yield
            # In flight means paid for: what is being made is stored before the parts close.
            await container.generation_runner().drain(container.config.drain_s())
            # What can be made again at any time is not waited for.
            await thumbnails.close()
            for task in (maintenance, warning, placeholders):
                task.cancel()
            await asyncio.wait([maintenance, warning, placeholders])

    layers: list[Callable[[ASGIApp], ASGIApp]] = []
    app = Application(
        lambda router: reduce(lambda inner, layer: layer(inner), layers, router),
        title="PixyProxy",
        summary="The image gateway for pictures that cost money.",
        description=_DESCRIPTION,
        version=version("pixyproxy"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Else the environment is searched for exporters of traces, at the start and again at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    policy = AccessPolicy(container.config.anonymous())
    links = Links(container.config.public_url())
    images, models, signed_urls = container.image_service(), container.model_catalog(), container.signed_urls()
    thumbnails = container.thumbnails()
    routers = [
        build_read_router(images, policy, links, signed_urls, container.config.accel_prefix()),
        build_thumbnail_router(thumbnails, policy, signed_urls),
        build_write_router(images, policy, links),
        build_service_router(container.readiness(), policy),
        build_v1_router(images, models, policy, ImagesPresenter(images, links, signed_urls, policy), StreamTimeouts()),
        add_docs(app, links),
    ]
    for router in routers:
        # For the document that describes them.
        app.router.routes.extend(router.routes)
    app.openapi = lambda: openapi.document(app, (CreateImage, UpdateImage, *v1_documentation.SCHEMAS))  # type: ignore[method-assign]  # FastAPI's documented way

    routes = RouteTable(route for router in routers for route in router.routes)
    handler = ErrorHandler(ProblemHandler(routes), OpenAIErrorHandler(routes))
    layers += [
        partial(Dispatcher, routes=routes),
        partial(AuthenticationMiddleware, users=container.user_service(), keys=container.key_service()),
        partial(ProblemMiddleware, handler=handler),
        CanonicalPathMiddleware,
    ]
    if origins := container.config.cors_origins():
        layers.append(partial(CORSMiddleware, allow_origins=origins, **_CORS))
    layers.append(partial(RequestLogMiddleware, routes=routes))
    return app


class ErrorHandler:
    """Has errors answered in the form that the clients of a path know."""

    def __init__(self, problems: ProblemHandler, openai: OpenAIErrorHandler) -> None:
        self._problems = problems
        self._openai = openai

    async def __call__(self, request: Request, error: Exception) -> Response:
        """The answer to a request that ended in an error."""
        handler = self._openai if is_below(request.scope["path"]) else self._problems
        return await handler(request, error)
