"""The public read routes: details, lists and content of images."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.query_string import read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.content_response import content_response
from pixyproxy.entrypoints.http.representation.image_detail import Links, json_response, present_image, present_images
from pixyproxy.entrypoints.http.representation.openapi import SECURITY, problems, search_parameters
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail

Guid = Annotated[str, Path(description="The GUID of an image.", json_schema_extra={"format": "uuid"})]
"""A GUID in a path: anything else names no image, and is answered 404."""

_HEADERS = {
    "ETag": {"description": "The sha256 of the bytes.", "schema": {"type": "string"}},
    "Last-Modified": {"schema": {"type": "string"}},
    "Content-Disposition": {"description": "`inline`, with the file name.", "schema": {"type": "string"}},
}

SIGNATURE = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": "Opens a private image for a while; part of addresses that were handed out.",
        "schema": {"type": "string"},
    }
    for name in ("expires", "signature")
]


def build_read_router(
    images: ImageService, policy: AccessPolicy, links: Links, signed_urls: SignedUrls, accel_prefix: str | None
) -> APIRouter:
    """Routes for whoever may read; for `accel_prefix` see `content_response`."""
    router = direct_router("images")

    @router.get(
        "/image",
        response_model=list[ImageDetail],
        summary="List and search images, newest first",
        responses={
            200: {
                "description": "A page of images, newest first.",
                "headers": {
                    "Link": {
                        "description": 'The next page, if there is one: `<…>; rel="next"` (RFC 8288). The search goes '
                        "on there even where this page is short or empty: only so many images are looked at for each.",
                        "schema": {"type": "string"},
                    }
                },
            },
            **problems(422),
        },
        openapi_extra={"security": SECURITY, **search_parameters()},
    )
    async def list_images(request: Request) -> Response:
        viewer = policy.require_reader(request)
        query = read_query(request, repeatable={"tag"}, numbers={"limit"})
        page = await images.search(viewer, query)
        headers = {}
        if page.next_cursor is not None:
            headers["Link"] = links.next_page(request, page.next_cursor, query)
        return json_response(present_images(page.items, links), headers=headers)

    @router.get(
        "/image/{guid}",
        response_model=ImageDetail,
        summary="Details of an image",
        response_description="All that is known of it, whatever its status.",
        responses=problems(404),
        openapi_extra={"security": SECURITY},
    )
    async def get_image(request: Request, guid: Guid) -> Response:
        image = await images.get(policy.require_reader(request), guid)
        return json_response(present_image(image, links))

    @router.get(
        "/image/{guid}/content",
        response_class=Response,
        summary="The bytes of an image, exactly as generated",
        responses={
            200: {"description": "The whole image.", "content": {"image/*": {}}, "headers": _HEADERS},
            206: {"description": "The range asked for.", "content": {"image/*": {}}, "headers": _HEADERS},
            304: {"description": "The image is the one the client has."},
            **problems(404, 409, 412, 416),
        },
        openapi_extra={"security": SECURITY, "parameters": SIGNATURE},
    )
    async def get_content(request: Request, guid: Guid) -> Response:
        if request.scope["query_string"] and _is_signed(request, guid):
            content = await images.open_content(None, guid, by_link=True)
        else:
            content = await images.open_content(policy.require_reader(request), guid)
        return await content_response(request, content, accel_prefix)

    def _is_signed(request: Request, guid: str) -> bool:
        expires, signature = (request.query_params.get(name) for name in ("expires", "signature"))
        return bool(expires and signature and signed_urls.opens(guid, expires, signature))

    return router
