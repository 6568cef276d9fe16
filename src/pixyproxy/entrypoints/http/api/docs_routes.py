"""The page that shows the API (Swagger UI), made of files of this host only, so that it works offline."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.json_response import json_response

SWAGGER_UI = Path(__file__).parents[1] / "static" / "swagger_ui"
"""A copy of the files of the npm package `swagger-ui-dist`; `VERSION` and `SHA256SUMS` beside them say which."""


def build_docs_router(links: Links) -> APIRouter:
    """Build the routes of `/docs`, of its files and of the OpenAPI document; `/` redirects to it."""
    router = direct_router("docs", in_schema=False)

    @router.get("/")
    async def get_root(request: Request) -> Response:
        return RedirectResponse(links.path("/docs"), 307)

    @router.get("/docs")
    async def get_docs(request: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url=links.path("/openapi.json"),
            title=request.app.title,
            swagger_js_url=links.path("/docs/assets/swagger-ui-bundle.js"),
            swagger_css_url=links.path("/docs/assets/swagger-ui.css"),
            swagger_favicon_url=links.path("/docs/assets/favicon-32x32.png"),
        )

    @router.get("/openapi.json")
    async def get_openapi(request: Request) -> Response:
        document, server = request.app.openapi(), links.server()
        return json_response(document if server is None else {**document, "servers": [{"url": server}]})

    router.mount("/docs/assets", StaticFiles(directory=SWAGGER_UI))
    return router
