"""The route of thumbnails."""

from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import GetThumbnail
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.application.images.thumbnails import Thumbnail, Thumbnails
from pixyproxy.domain.image import Visibility
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.query_string import read_query
from pixyproxy.entrypoints.http.api.request_headers import accepts
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.conditional import Representation
from pixyproxy.entrypoints.http.representation.content_response import (
    check_preconditions,
    joined_fields,
    picture_headers,
)
from pixyproxy.entrypoints.http.representation.openapi import (
    PICTURE_HEADERS,
    SECURITY,
    SIGNATURE,
    Guid,
    problems,
    query_parameters,
)

_HEADERS = {**PICTURE_HEADERS, "Vary": {"description": "`Accept`.", "schema": {"type": "string"}}}
_CONTENT: dict[str, dict[str, Any]] = {"image/webp": {}, "image/jpeg": {}}


def build_thumbnail_router(thumbnails: Thumbnails, policy: AccessPolicy, signed_urls: SignedUrls) -> APIRouter:
    """Build the route for callers who may read."""
    router = direct_router("images")

    @router.get(
        "/image/{guid}/thumbnail",
        response_class=Response,
        summary="Get a small picture of an image",
        description="WebP, or JPEG where `Accept` excludes it. Made at the first request and kept with the image.",
        responses={
            200: {"description": "The whole thumbnail.", "content": _CONTENT, "headers": _HEADERS},
            304: {"description": "The client has this thumbnail already."},
            **problems(404, 409, 412, 422),
        },
        openapi_extra={"security": SECURITY, "parameters": [*query_parameters(GetThumbnail), *SIGNATURE]},
    )
    async def get_thumbnail(request: Request, guid: Guid) -> Response:
        query = read_query(request, numbers={"size"})
        expires, signature = query.pop("expires", None), query.pop("signature", None)
        by_link = bool(expires and signature) and signed_urls.opens(guid, str(expires), str(signature))
        viewer = None if by_link else policy.require_reader(request)
        media_type = "image/webp" if accepts(request, "image/webp") else "image/jpeg"
        return await _response(request, await thumbnails.open(viewer, guid, query, media_type, by_link=by_link))

    return router


async def _response(request: Request, thumbnail: Thumbnail) -> Response:
    have = Representation(etag=f'"{thumbnail.tag}"', last_modified=thumbnail.image.request.created_at, size=0)
    public = thumbnail.image.request.visibility is Visibility.PUBLIC
    headers = picture_headers(have, thumbnail.filename, thumbnail.media_type, public=public) | {"Vary": "Accept"}
    unchanged = check_preconditions(joined_fields(request), have, headers)
    return unchanged or Response(await thumbnail.read(), 200, headers)
