"""The composition of the HTTP application: use cases, routes, error handlers and middleware."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from pixyproxy.application.accounts.account_commands import ChangeUser, LogIn, NewKey, NewUser
from pixyproxy.application.commands import CreateImage, PriceImages, SetBudget, SettleImage, UpdateImage
from pixyproxy.containers import Container
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.docs_routes import build_docs_router
from pixyproxy.entrypoints.http.api.key_routes import build_key_router
from pixyproxy.entrypoints.http.api.metrics_routes import build_metrics_router
from pixyproxy.entrypoints.http.api.money_routes import build_money_router
from pixyproxy.entrypoints.http.api.read_routes import build_read_router
from pixyproxy.entrypoints.http.api.service_routes import build_service_router
from pixyproxy.entrypoints.http.api.session_routes import build_session_router
from pixyproxy.entrypoints.http.api.settlement_routes import build_settlement_router
from pixyproxy.entrypoints.http.api.usage_routes import build_usage_router
from pixyproxy.entrypoints.http.api.user_routes import build_user_router
from pixyproxy.entrypoints.http.api.write_routes import build_write_router
from pixyproxy.entrypoints.http.middleware.authentication import AuthenticationMiddleware
from pixyproxy.entrypoints.http.middleware.canonical_path import CanonicalPathMiddleware, canonical_path
from pixyproxy.entrypoints.http.middleware.content_coding import ContentCodingMiddleware
from pixyproxy.entrypoints.http.middleware.cross_site import CORS_OPTIONS, CrossSiteMiddleware
from pixyproxy.entrypoints.http.middleware.departure import DepartureMiddleware
from pixyproxy.entrypoints.http.middleware.error_responses import ErrorMiddleware, respond_to_error
from pixyproxy.entrypoints.http.middleware.forwarded import ForwardedMiddleware
from pixyproxy.entrypoints.http.middleware.host import PROBES, HostMiddleware
from pixyproxy.entrypoints.http.middleware.request_log import RequestLogMiddleware
from pixyproxy.entrypoints.http.middleware.security_fields import SecurityFieldsMiddleware
from pixyproxy.entrypoints.http.middleware.unread_body import UnreadBodyMiddleware
from pixyproxy.entrypoints.http.openai_api import documentation as openai_documentation
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodyReader
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter
from pixyproxy.entrypoints.http.openai_api.routes import build_v1_router
from pixyproxy.entrypoints.http.pages.comparing.compare_routes import build_compare_router
from pixyproxy.entrypoints.http.pages.create_routes import MakeForm, build_create_router
from pixyproxy.entrypoints.http.pages.gallery_routes import build_gallery_router
from pixyproxy.entrypoints.http.pages.key_routes import build_key_page_router
from pixyproxy.entrypoints.http.pages.login_routes import build_login_router
from pixyproxy.entrypoints.http.pages.renderer import PageRenderer
from pixyproxy.entrypoints.http.pages.spending_routes import build_spending_router
from pixyproxy.entrypoints.http.pages.staff.class_page import ClassPage
from pixyproxy.entrypoints.http.pages.staff.class_routes import ClassForms, build_class_router
from pixyproxy.entrypoints.http.pages.staff.service_page import ServicePage
from pixyproxy.entrypoints.http.pages.static_files import StaticFiles, build_static_router, page_files
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.openapi import openapi_document
from pixyproxy.entrypoints.http.session_cookie import SessionCookie
from pixyproxy.entrypoints.http.streaming.event_stream import StreamTimeouts
from pixyproxy.opening import bind_store, opened

_DESCRIPTION = """Pictures from prompts: made once, stored, found again and delivered by GUID.

Every path answers with and without a trailing slash, and `HEAD` works wherever `GET` does. Errors are
`application/problem+json` (RFC 9457). Times are UTC in ISO 8601."""

_SCHEMAS = (CreateImage, PriceImages, SettleImage, UpdateImage, LogIn, SetBudget, NewUser, ChangeUser, NewKey)
"""The bodies of requests, which FastAPI cannot see."""


def create_app(container: Container) -> FastAPI:
    """Build the ASGI application; it opens the container's parts when it starts and closes them when it stops."""
    policy, links = AccessPolicy(container.config.anonymous()), Links(container.config.public_url())
    cookie, files = SessionCookie(container.config.public_url()), page_files()
    pages = PageRenderer(links, files, policy, container.config.picture_origin())
    app = FastAPI(
        title="PixyProxy",
        summary="The image gateway for pictures that cost money.",
        description=_DESCRIPTION,
        version=version("pixyproxy"),
        # `include_router` would match every request twice, which takes 20 µs.
        routes=[
            route
            for router in _build_routers(container, links, policy, pages, files, cookie)
            for route in router.routes
        ],
        lifespan=partial(_lifespan, container),
        exception_handlers={HTTPException: respond_to_error, PixyProxyException: respond_to_error},
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=_telemetry(container),
    )
    schemas = (*_SCHEMAS, *openai_documentation.SCHEMAS)
    app.openapi = partial(openapi_document, app, schemas)  # type: ignore[method-assign]  # FastAPI's documented way

    app.state.pages = pages  # for the handlers of errors

    # The last one added is outermost.
    app.add_middleware(ContentCodingMiddleware)
    app.add_middleware(DepartureMiddleware, departures=container.departures())
    app.add_middleware(
        AuthenticationMiddleware,
        users=container.user_service(),
        keys=container.key_service(),
        sessions=container.session_service(),
        cookie=cookie,
    )
    origins, public_url = container.config.cors_origins(), container.config.public_url()
    app.add_middleware(CrossSiteMiddleware, origins=origins, public_url=public_url)
    app.add_middleware(ErrorMiddleware)
    app.add_middleware(CanonicalPathMiddleware)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, **CORS_OPTIONS)
    # Preflights for other hosts are refused too, and so are those that a proxy reports.
    app.add_middleware(HostMiddleware, trusted=container.config.answered_hosts())
    app.add_middleware(UnreadBodyMiddleware)
    app.add_middleware(ForwardedMiddleware, proxies=container.config.forwarded_allow_ips())
    app.add_middleware(SecurityFieldsMiddleware)
    app.add_middleware(
        RequestLogMiddleware,
        routes=app.routes,
        metrics=container.metrics(),
        tracer=container.tracer(),
        with_callers=container.config.log_callers(),
    )
    return app


def _telemetry(container: Container) -> TelemetryConfig:
    """Return the options of FastAPI's own instrumentation: a span for each request but the probes, if there are traces.

    By default FastAPI looks for exporters at the start and at every request.
    """
    provider = container.request_tracer_provider()
    return {
        "tracing": provider is not None,
        "tracer_provider": provider,
        "exclude": lambda scope: canonical_path(scope["path"]) in PROBES,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
    }


def _build_routers(
    container: Container,
    links: Links,
    policy: AccessPolicy,
    pages: PageRenderer,
    files: StaticFiles,
    cookie: SessionCookie,
) -> list[APIRouter]:
    images, signed_urls = container.image_service(), container.signed_urls()
    presenter = ImagesPresenter(images, links, signed_urls, policy, container.config.response_format())
    bodies = EditBodyReader(links, signed_urls, container.spool())
    make_form = MakeForm(images, links, has_free_early_views=container.generator().has_free_early_views)
    return [
        build_read_router(images, container.thumbnails(), policy, links, signed_urls, container.config.accel_prefix()),
        build_write_router(images, policy, links, StreamTimeouts()),
        build_settlement_router(container.budget_service(), policy),
        build_usage_router(container.usage_service(), policy),
        build_money_router(container.pricing(), container.budget_service(), container.staff_budgets(), policy),
        build_service_router(container.readiness(), policy),
        *_metrics_routers(container, policy),
        build_v1_router(images, container.model_catalog(), policy, presenter, bodies, StreamTimeouts()),
        # `/user/me` goes before any other name.
        build_user_router(container.roster_service(), container.roster_import(), policy, links),
        build_key_router(container.key_service(), policy),
        build_session_router(container.session_service(), cookie),
        build_gallery_router(
            pages, images, container.budget_service(), make_form, policy, links, signed_urls, container.clock()
        ),
        build_create_router(pages, images, make_form, bodies, policy, container.config.public_url()),
        build_compare_router(pages, images, policy, links),
        build_login_router(pages, container.session_service(), cookie, container.config.public_url()),
        build_spending_router(pages, container.usage_service(), container.budget_service(), policy, container.clock()),
        build_key_page_router(pages, container.key_service(), links, container.config.public_url(), container.clock()),
        _class_router(container, links, policy, pages),
        build_static_router(files),
        build_docs_router(links),
    ]


def _class_router(container: Container, links: Links, policy: AccessPolicy, pages: PageRenderer) -> APIRouter:
    roster, budgets, images = container.roster_service(), container.staff_budgets(), container.image_service()
    clock = container.clock()
    service = ServicePage(
        container.readiness(), container.surveyor(), container.turns(), container.usage_service(), clock
    )
    return build_class_router(
        pages,
        ClassPage(roster, budgets, images, links, clock),
        service,
        ClassForms(roster, budgets, images),
        container.roster_import(),
        policy,
        container.config.public_url(),
    )


def _metrics_routers(container: Container, policy: AccessPolicy) -> list[APIRouter]:
    access = container.config.metrics()
    if access == "off":
        return []
    return [build_metrics_router(container.metrics(), container.surveyor(), policy, is_open=access == "open")]


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
        await container.surveyor().close()
        for task in background:
            task.cancel()
        await asyncio.wait(background)
