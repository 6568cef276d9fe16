"""The routes that read images: the list, details and content."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import SearchImages
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.query_string import read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.content_response import content_response
from pixyproxy.entrypoints.http.representation.image_detail import present_image, present_images
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.links import Links
from pixyproxy.entrypoints.http.representation.openapi import (
    PICTURE_HEADERS,
    SECURITY,
    SIGNATURE,
    Guid,
    problems,
    query_parameters,
)
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail


def build_read_router(
    images: ImageService, policy: AccessPolicy, links: Links, signed_urls: SignedUrls, accel_prefix: str | None
) -> APIRouter:
    """Build the routes for callers who may read; see `content_response` for `accel_prefix`."""
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
                        "description": 'The next page, if there is one: `<…>; rel="next"` (RFC 8288). A page may be '
                        "short or empty and have a next page, because a request looks at a bounded number of images.",
                        "schema": {"type": "string"},
                    }
                },
            },
            **problems(422),
        },
        openapi_extra={"security": SECURITY, "parameters": query_parameters(SearchImages)},
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
        summary="Get the details of an image",
        response_description="The image, whatever its status.",
        responses=problems(404),
        openapi_extra={"security": SECURITY},
    )
    async def get_image(request: Request, guid: Guid) -> Response:
        image = await images.get(policy.require_reader(request), guid)
        return json_response(present_image(image, links))

    @router.get(
        "/image/{guid}/content",
        response_class=Response,
        summary="Get the bytes of an image, exactly as generated",
        responses={
            200: {"description": "The whole image.", "content": {"image/*": {}}, "headers": PICTURE_HEADERS},
            206: {"description": "The requested range.", "content": {"image/*": {}}, "headers": PICTURE_HEADERS},
            304: {"description": "The client has this image already."},
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
