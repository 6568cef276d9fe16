"""The page that shows the API (Swagger UI), made of files of this host only, so that it works offline."""

import base64
import hashlib
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.image_detail import Links
from pixyproxy.entrypoints.http.representation.json_response import json_response

SWAGGER_UI = Path(__file__).parents[1] / "static" / "swagger_ui"
"""A copy of the files of the npm package `swagger-ui-dist`; `VERSION` and `SHA256SUMS` beside them say which."""


def _policy(page: bytes, server: str | None) -> str:
    """Return a content policy that lets the page run its own script, which is in its text, and no other in its text.

    Swagger UI sets styles of elements, and shows responses that are pictures. The server is where it sends requests.
    """
    script = page.rpartition(b"<script>")[2].partition(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    origin = "/".join((server or "").split("/")[:3])
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; connect-src 'self'{f' {origin}' if '://' in origin else ''}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def build_docs_router(links: Links) -> APIRouter:
    """Build the routes of `/docs`, of its files and of the OpenAPI document."""
    router = direct_router("docs", in_schema=False)

    @router.get("/docs")
    async def get_docs(request: Request) -> Response:
        page = get_swagger_ui_html(
            openapi_url=links.path("/openapi.json"),
            title=request.app.title,
            swagger_js_url=links.path("/docs/assets/swagger-ui-bundle.js"),
            swagger_css_url=links.path("/docs/assets/swagger-ui.css"),
            swagger_favicon_url=links.path("/docs/assets/favicon-32x32.png"),
        )
        page.headers["Content-Security-Policy"] = _policy(bytes(page.body), links.server())
        return page

    @router.get("/openapi.json")
    async def get_openapi(request: Request) -> Response:
        document, server = request.app.openapi(), links.server()
        return json_response(document if server is None else {**document, "servers": [{"url": server}]})

    router.mount("/docs/assets", StaticFiles(directory=SWAGGER_UI))
    return router
