"""The routes that read images: the list, details, content and thumbnails."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pixyproxy.application.commands import GetThumbnail, SearchImages
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.application.images.thumbnails import Thumbnails
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import accepts, read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.content_response import content_response, thumbnail_response
from pixyproxy.entrypoints.http.representation.image_detail import Links, present_image, present_in_list
from pixyproxy.entrypoints.http.representation.json_response import encode_json, json_response
from pixyproxy.entrypoints.http.representation.openapi import (
    PICTURE_HEADERS,
    SECURITY,
    SIGNATURE,
    Guid,
    Responses,
    header,
    problems,
    query_parameters,
)
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail

CONTENT: Responses = {
    200: {"description": "The whole image.", "content": {"image/*": {}}, "headers": PICTURE_HEADERS},
    206: {"description": "The requested range.", "content": {"image/*": {}}, "headers": PICTURE_HEADERS},
    304: {"description": "The client has this image already."},
    307: {
        "description": "The address of the bytes, valid for 60 s, where clients are sent elsewhere for them.",
        "headers": {"Location": header("The address.")},
    },
    **problems(404, 409, 412, 416),
}
Name = Annotated[str, Path(description="A file name, which is not looked at.")]


def build_read_router(
    images: ImageService,
    thumbnails: Thumbnails,
    policy: AccessPolicy,
    links: Links,
    signed_urls: SignedUrls,
    accel_prefix: str | None,
) -> APIRouter:
    """Build the routes for callers who may read; see `content_response` for `accel_prefix`."""
    router = direct_router("images")

    @router.get(
        "/image",
        response_model=list[ImageDetail],
        summary="List and search images, newest first",
        responses={
            200: {
                "description": "A page of images, newest first, of which long parameters are cut.",
                "headers": {
                    "Link": header(
                        'The next page, if there is one: `<…>; rel="next"` (RFC 8288). A page may be short or empty '
                        "and have a next page, because a request looks at a bounded number of images and returns 1 MiB "
                        "of them."
                    )
                },
            },
            **problems(422),
        },
        openapi_extra={"security": SECURITY, "parameters": query_parameters(SearchImages)},
    )
    async def list_images(request: Request) -> Response:
        viewer = policy.require_reader(request)
        query = read_query(request, repeatable={"tag"}, numbers={"limit"})
        items: list[bytes] = []

        def size_of(image: Image) -> int:
            items.append(encode_json(present_in_list(image, links, images.place_here(image.guid))))
            return len(items[-1]) + 1

        page = await images.search(viewer, query, size_of)
        headers = {}
        if page.next_cursor is not None:
            headers["Link"] = links.next_page(request, page.next_cursor, query)
        return json_response(b"[%b]" % b",".join(items[: len(page.items)]), headers=headers)

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
        return json_response(present_image(image, links, await images.place_of(image)))

    @router.get(
        "/image/{guid}/content",
        response_class=Response,
        summary="Get the bytes of an image, exactly as generated",
        responses=CONTENT,
        openapi_extra={"security": SECURITY, "parameters": SIGNATURE},
    )
    async def get_content(request: Request, guid: Guid) -> Response:
        return await content(request, guid)

    @router.get(
        "/image/{guid}/content/{name}",
        response_class=Response,
        summary="Get the bytes of an image by the address that is handed out",
        description="Like the address without a name: any name is accepted.",
        responses=CONTENT,
        openapi_extra={"security": SECURITY, "parameters": SIGNATURE},
    )
    async def get_named_content(request: Request, guid: Guid, name: Name) -> Response:
        return await content(request, guid)

    async def content(request: Request, guid: str) -> Response:
        by_link = signed_urls.opens_query(guid, request.query_params)
        viewer = None if by_link else policy.require_reader(request)
        return await content_response(request, await images.open_content(viewer, guid, by_link=by_link), accel_prefix)

    @router.get(
        "/image/{guid}/thumbnail",
        response_class=Response,
        summary="Get a small picture of an image",
        description="WebP, or JPEG where `Accept` excludes it. Made at the first request and kept with the image.",
        responses={
            200: {
                "description": "The whole thumbnail.",
                "content": {"image/webp": {}, "image/jpeg": {}},
                "headers": {**PICTURE_HEADERS, "Vary": header("`Accept`.")},
            },
            304: {"description": "The client has this thumbnail already."},
            **problems(404, 409, 412, 422),
        },
        openapi_extra={"security": SECURITY, "parameters": [*query_parameters(GetThumbnail), *SIGNATURE]},
    )
    async def get_thumbnail(request: Request, guid: Guid) -> Response:
        query = read_query(request, numbers={"size"})
        by_link = signed_urls.opens_query(guid, {name: query.pop(name, None) for name in ("expires", "signature")})
        viewer = None if by_link else policy.require_reader(request)
        media_type = "image/webp" if accepts(request, "image/webp") else "image/jpeg"
        thumbnail = await thumbnails.open(viewer, guid, query, media_type, by_link=by_link)
        return await thumbnail_response(request, thumbnail)

    return router
