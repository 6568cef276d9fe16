"""The page that shows the API, from files of this host only, so that it works without the internet."""

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.image_detail import Links, json_response


def add_docs(app: FastAPI, links: Links) -> APIRouter:
    """Serve `/docs`, and lead whoever opens the bare address there."""
    app.mount("/docs/assets", StaticFiles(directory=swagger_ui_path), name="docs-assets")
    router = direct_router("docs", in_schema=False)

    @router.get("/")
    async def get_root(request: Request) -> Response:
        return RedirectResponse(links.path("/docs"), 307)

    @router.get("/docs")
    async def get_docs(request: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url=links.path("/openapi.json"),
            title=app.title,
            swagger_js_url=links.path("/docs/assets/swagger-ui-bundle.js"),
            swagger_css_url=links.path("/docs/assets/swagger-ui.css"),
            swagger_favicon_url=links.path("/docs/assets/favicon-32x32.png"),
        )

    @router.get("/openapi.json")
    async def get_openapi(request: Request) -> Response:
        return json_response(app.openapi())

    return router
