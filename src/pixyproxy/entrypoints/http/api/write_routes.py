"""The private read-write routes: making, changing and deleting images."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import CreateImage, UpdateImage
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.image import Status
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.read_routes import Guid
from pixyproxy.entrypoints.http.api.request_body import read_json
from pixyproxy.entrypoints.http.api.request_headers import idempotency_key, prefers_async
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.image_detail import Links, json_response, present_image
from pixyproxy.entrypoints.http.representation.openapi import LOGIN, RETRY_AFTER, SECURITY, body_of, problems
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail

POLL_AFTER_S = "2"
_CREATED_HEADERS = {
    "Location": {"description": "Its details.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` where an earlier request with this key made it.",
        "schema": {"type": "string"},
    },
}
_CREATE_PARAMETERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key and the same body get the same image, and the upstream is called once. "
        "Kept as long as the image.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "`respond-async` (RFC 7240) answers 202 as soon as the generation is begun.",
        "schema": {"type": "string"},
        "example": "respond-async",
    },
]


def build_write_router(images: ImageService, policy: AccessPolicy, links: Links) -> APIRouter:
    """Routes for whoever may write; changing and deleting is the author's alone."""
    router = direct_router("images")

    @router.post(
        "/image",
        response_model=ImageDetail,
        summary="Have a picture made from a prompt",
        responses={
            200: {
                "description": "The picture is made, stored and recorded.",
                "headers": _CREATED_HEADERS,
            },
            202: {
                "description": "It is being made (with `Prefer: respond-async`): ask at `Location` until it is ready.",
                "model": ImageDetail,
                "headers": {**_CREATED_HEADERS, **RETRY_AFTER},
            },
            **problems(400, 404, 409, 413, 415, 422, 429, 502, 504, 507),
        },
        openapi_extra={"security": SECURITY, **body_of(CreateImage), "parameters": _CREATE_PARAMETERS},
    )
    async def create_image(request: Request) -> Response:
        viewer = policy.require_writer(request)
        body = await read_json(request)
        respond_async = prefers_async(request)
        created = await images.create(viewer, body, idempotency_key=idempotency_key(request), wait=not respond_async)
        headers = {"Location": links.absolute(request, f"/image/{created.image.guid}")}
        if created.replayed:
            headers["Idempotent-Replayed"] = "true"
        status = 200
        if respond_async:
            headers["Preference-Applied"] = "respond-async"
        if created.image.status is Status.GENERATING:
            status = 202
            headers["Retry-After"] = POLL_AFTER_S
        return json_response(present_image(created.image, links), status, headers)

    @router.patch(
        "/image/{guid}",
        response_model=ImageDetail,
        summary="Change tags, visibility or file name",
        response_description="The image as it is now.",
        responses=problems(400, 403, 404, 409, 413, 415, 422),
        openapi_extra={"security": LOGIN, **body_of(UpdateImage)},
    )
    async def update_image(request: Request, guid: Guid) -> Response:
        user = policy.require_user(request)
        image = await images.update(user.username, guid, await read_json(request))
        return json_response(present_image(image, links))

    @router.delete(
        "/image/{guid}",
        status_code=204,
        response_class=Response,
        summary="Delete an image",
        response_description="It is gone.",
        responses=problems(403, 404),
        openapi_extra={"security": LOGIN},
    )
    async def delete_image(request: Request, guid: Guid) -> Response:
        await images.delete(policy.require_user(request).username, guid)
        return Response(status_code=204)

    return router
