"""The private read-write routes: making, changing and deleting images."""

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import CreateImage, UpdateImage
from pixyproxy.application.image_service import ImageService
from pixyproxy.entrypoints.http.authentication import Gate
from pixyproxy.entrypoints.http.json_body import read_json
from pixyproxy.entrypoints.http.openapi import LOGIN, SECURITY, body_of, problems
from pixyproxy.entrypoints.http.presenter import Links, json_response, present_image
from pixyproxy.entrypoints.http.routes_read import Guid
from pixyproxy.entrypoints.http.schemas import ImageDetail


def build_write_router(images: ImageService, gate: Gate, links: Links) -> APIRouter:
    """Routes for whoever may write; changing and deleting is the author's alone."""
    router = APIRouter(tags=["images"])

    @router.post(
        "/image",
        response_model=ImageDetail,
        summary="Have a picture made from a prompt",
        responses={
            200: {
                "description": "The picture is made, stored and recorded.",
                "headers": {"Location": {"description": "Its details.", "schema": {"type": "string"}}},
            },
            **problems(400, 409, 413, 415, 422, 429, 502, 504, 507),
        },
        openapi_extra={"security": SECURITY, **body_of(CreateImage)},
    )
    async def create_image(request: Request) -> Response:
        viewer = gate.writer(request)
        image = await images.create(viewer, await read_json(request))
        location = links.absolute(request, f"/image/{image.guid}")
        return json_response(present_image(image, links), headers={"Location": location})

    @router.patch(
        "/image/{guid}",
        response_model=ImageDetail,
        summary="Change tags, visibility or file name",
        response_description="The image as it is now.",
        responses=problems(400, 403, 404, 413, 415, 422),
        openapi_extra={"security": LOGIN, **body_of(UpdateImage)},
    )
    async def update_image(request: Request, guid: Guid) -> Response:
        user = gate.user(request)
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
        await images.delete(gate.user(request).username, guid)
        return Response(status_code=204)

    return router
