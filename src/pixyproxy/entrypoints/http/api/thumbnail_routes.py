"""The route of thumbnails, in the format that the client takes."""

from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import GetThumbnail
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.application.images.thumbnails import Thumbnail, Thumbnails
from pixyproxy.domain.image import Visibility
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.query_string import read_query
from pixyproxy.entrypoints.http.api.read_routes import SIGNATURE, Guid
from pixyproxy.entrypoints.http.api.request_headers import accepts
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.conditional import Representation, failed_precondition
from pixyproxy.entrypoints.http.representation.content_response import content_disposition, joined_fields
from pixyproxy.entrypoints.http.representation.openapi import SECURITY, problems, query_parameters
from pixyproxy.entrypoints.http.representation.problems import HTTPProblem

_HEADERS = {
    "ETag": {"description": "Another for each size and format.", "schema": {"type": "string"}},
    "Last-Modified": {"schema": {"type": "string"}},
    "Vary": {"description": "`Accept`.", "schema": {"type": "string"}},
    "Content-Disposition": {"description": "`inline`, with the file name.", "schema": {"type": "string"}},
}
_CONTENT: dict[str, dict[str, Any]] = {"image/webp": {}, "image/jpeg": {}}


def build_thumbnail_router(thumbnails: Thumbnails, policy: AccessPolicy, signed_urls: SignedUrls) -> APIRouter:
    """The route for whoever may read."""
    router = direct_router("images")

    @router.get(
        "/image/{guid}/thumbnail",
        response_class=Response,
        summary="A small picture of an image",
        description="WebP, or JPEG where `Accept` excludes it. Made at first demand and kept with the image.",
        responses={
            200: {"description": "The whole thumbnail.", "content": _CONTENT, "headers": _HEADERS},
            304: {"description": "The thumbnail is the one the client has."},
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
    headers = {
        "ETag": have.etag,
        "Last-Modified": have.http_date,
        "Vary": "Accept",
        "Cache-Control": "public, max-age=3600" if public else "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": content_disposition(thumbnail.filename),
    }
    outcome = failed_precondition(joined_fields(request), have)
    if outcome == 412:
        raise HTTPProblem(412, "The thumbnail is not the one that the conditions of the request name.")
    if outcome == 304:
        return Response(None, 304, headers)
    return Response(await thumbnail.read(), 200, headers, media_type=thumbnail.media_type)
