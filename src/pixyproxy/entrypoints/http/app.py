"""The composition of the HTTP application: use cases, routes, error handlers and middleware."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from pixyproxy.application.commands import CreateImage, UpdateImage
from pixyproxy.containers import Container, bind_store, opened
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.docs_routes import build_docs_router
from pixyproxy.entrypoints.http.api.read_routes import build_read_router
from pixyproxy.entrypoints.http.api.service_routes import build_service_router
from pixyproxy.entrypoints.http.api.write_routes import build_write_router
from pixyproxy.entrypoints.http.middleware.authentication import AuthenticationMiddleware
from pixyproxy.entrypoints.http.middleware.canonical_path import CanonicalPathMiddleware
from pixyproxy.entrypoints.http.middleware.content_coding import ContentCodingMiddleware
from pixyproxy.entrypoints.http.middleware.cross_site import CORS_OPTIONS, CrossSiteMiddleware
from pixyproxy.entrypoints.http.middleware.departure import DepartureMiddleware
from pixyproxy.entrypoints.http.middleware.error_responses import ErrorMiddleware, respond_to_error
from pixyproxy.entrypoints.http.middleware.forwarded import ForwardedMiddleware
from pixyproxy.entrypoints.http.middleware.request_log import RequestLogMiddleware
from pixyproxy.entrypoints.http.openai_api import documentation as openai_documentation
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodyReader
from pixyproxy.entrypoints.http.openai_api.event_stream import StreamTimeouts
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter
from pixyproxy.entrypoints.http.openai_api.routes import build_v1_router
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.openapi import openapi_document

_DESCRIPTION = """Pictures from prompts: made once, stored, found again and delivered by GUID.

Every path answers with and without a trailing slash, and `HEAD` works wherever `GET` does. Errors are
`application/problem+json` (RFC 9457). Times are UTC in ISO 8601."""


def create_app(container: Container) -> FastAPI:
    """Build the ASGI application; it opens the container's parts when it starts and closes them when it stops."""
    app = FastAPI(
        title="PixyProxy",
        summary="The image gateway for pictures that cost money.",
        description=_DESCRIPTION,
        version=version("pixyproxy"),
        # `include_router` would match every request twice, which takes 20 µs.
        routes=[route for router in _build_routers(container) for route in router.routes],
        lifespan=partial(_lifespan, container),
        exception_handlers={HTTPException: respond_to_error, PixyProxyException: respond_to_error},
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # By default FastAPI looks for exporters of traces at the start and at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    schemas = (CreateImage, UpdateImage, *openai_documentation.SCHEMAS)
    app.openapi = partial(openapi_document, app, schemas)  # type: ignore[method-assign]  # FastAPI's documented way

    # The last one added is outermost.
    app.add_middleware(ContentCodingMiddleware)
    app.add_middleware(DepartureMiddleware, departures=container.departures())
    app.add_middleware(AuthenticationMiddleware, users=container.user_service(), keys=container.key_service())
    origins, public_url = container.config.cors_origins(), container.config.public_url()
    app.add_middleware(CrossSiteMiddleware, origins=origins, public_url=public_url)
    app.add_middleware(ErrorMiddleware)
    app.add_middleware(CanonicalPathMiddleware)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, **CORS_OPTIONS)
    app.add_middleware(ForwardedMiddleware, proxies=container.config.forwarded_allow_ips())
    app.add_middleware(RequestLogMiddleware, routes=app.routes, with_callers=container.config.log_callers())
    return app


def _build_routers(container: Container) -> list[APIRouter]:
    policy = AccessPolicy(container.config.anonymous())
    links = Links(container.config.public_url())
    images, signed_urls = container.image_service(), container.signed_urls()
    presenter = ImagesPresenter(images, links, signed_urls, policy, container.config.response_format())
    bodies = EditBodyReader(links, signed_urls)
    return [
        build_read_router(images, container.thumbnails(), policy, links, signed_urls, container.config.accel_prefix()),
        build_write_router(images, policy, links),
        build_service_router(container.readiness(), policy),
        build_v1_router(images, container.model_catalog(), policy, presenter, bodies, StreamTimeouts()),
        build_docs_router(links),
    ]


@asynccontextmanager
async def _lifespan(container: Container, _: FastAPI) -> AsyncIterator[None]:
    async with opened(container):
        await bind_store(container)
        background = [
            asyncio.create_task(container.upkeep().run()),
            asyncio.create_task(container.model_catalog().warn_of_shutdown()),
            asyncio.create_task(container.placeholders().run()),
            # A generator that is set up wrongly is logged at the start.
            asyncio.create_task(container.generator_health().state()),
        ]
        yield
        # Generations in flight are paid for: their pictures are stored before the parts close.
        await container.generation_runner().drain(container.config.drain_s())
        # Those who still wait are sent away.
        await container.departures().close()
        # Thumbnails can be made again at any time.
        await container.thumbnails().close()
        for task in background:
            task.cancel()
        await asyncio.wait(background)
