"""The routes that create, change and delete images."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from pixyproxy.application.commands import CreateImage, DeleteImage, UpdateImage
from pixyproxy.application.generation.run import Watcher
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.access import Viewer, viewer_of
from pixyproxy.domain.generation import GenerationOutcome
from pixyproxy.domain.image import UNDER_WAY
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import asks_for, idempotency_key, prefers_async, read_json, read_query
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.representation.image_detail import (
    COST_HEADER,
    POLL_AFTER_S,
    Links,
    cost_header,
    outcome_headers,
    present_image,
)
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.representation.openapi import (
    IDEMPOTENCY_KEY,
    LOGIN,
    RETRY_AFTER,
    SECURITY,
    Guid,
    header,
    parameter,
    problems,
    query_parameters,
    request_body,
)
from pixyproxy.entrypoints.http.representation.schemas import ImageDetail
from pixyproxy.entrypoints.http.streaming.event_stream import Item, StreamTimeouts, begin_stream
from pixyproxy.entrypoints.http.streaming.image_events import ImageEvents

_CREATED_HEADERS = {
    "Location": header("The address of its details."),
    "Idempotent-Replayed": header("`true` if an earlier request created it: one with this key, or an uncertain one."),
    COST_HEADER: header("The cost of this request in US dollars, 0 for a repeat; only where it is known."),
}
_PREFER = parameter(
    "Prefer",
    "header",
    "With `respond-async` (RFC 7240) the response is 202, as soon as the call is queued or begun.",
)
_EVENTS = """`image`: the details, when the picture is recorded and whenever its status changes; the last one is ready.
`early_view`: `guid`, `index` and `b64_json` of an early view, with `partial_images`.
`error`: the problem, with which the stream ends.
Comments: `queued 12, about 95 s` while it waits, and `keep-alive`.
"""


def build_write_router(images: ImageService, policy: AccessPolicy, links: Links, timeouts: StreamTimeouts) -> APIRouter:
    """Build the routes for callers who may write; see `access` for who changes and deletes an image."""
    router = direct_router("images")

    @router.post(
        "/image",
        response_model=ImageDetail,
        summary="Generate a picture from a prompt",
        responses={
            200: {
                "description": "The picture is generated, stored and recorded; or events until it is, with `Accept: "
                "text/event-stream`.",
                "headers": _CREATED_HEADERS,
                "content": {"text/event-stream": {"schema": {"type": "string", "description": _EVENTS}}},
            },
            202: {
                "description": "It waits or is being made (`Prefer: respond-async`): poll `Location` until it ends.",
                "model": ImageDetail,
                "headers": {**_CREATED_HEADERS, **RETRY_AFTER},
            },
            **problems(400, 402, 403, 404, 409, 413, 415, 422, 429, 502, 504, 507),
        },
        openapi_extra={
            "security": SECURITY,
            **request_body(CreateImage, {"prompt": "a rubber duck on a sink"}),
            "parameters": [IDEMPOTENCY_KEY, _PREFER],
        },
    )
    async def create_image(request: Request) -> Response:
        viewer = policy.require_writer(request)
        body = await read_json(request)
        if asks_for(request, "text/event-stream"):
            return await stream_image(request, viewer, body)
        respond_async = prefers_async(request)
        outcome = await images.create(
            viewer,
            body,
            idempotency_key=idempotency_key(request),
            wait=not respond_async,
            caller=request.state.caller,
        )
        headers = outcome_headers(request, links, outcome)
        status = 200
        if respond_async:
            headers["Preference-Applied"] = "respond-async"
        if outcome.image.status in UNDER_WAY:
            status = 202
            headers["Retry-After"] = POLL_AFTER_S
        headers.update(cost_header(outcome))
        place = await images.place_of(outcome.image)
        return json_response(present_image(outcome.image, links, place), status, headers)

    async def stream_image(request: Request, viewer: Viewer, body: Any) -> Response:
        has_early_views = isinstance(body, Mapping) and bool(body.get("partial_images"))

        async def generate(take: Callable[[Item], None]) -> GenerationOutcome:
            return await images.create(
                viewer,
                body,
                idempotency_key=idempotency_key(request),
                caller=request.state.caller,
                watcher=Watcher(take, take if has_early_views else None),
            )

        return await begin_stream(generate, ImageEvents(request, images, links), timeouts, request.state.caller)

    @router.patch(
        "/image/{guid}",
        response_model=ImageDetail,
        summary="Change tags, visibility or file name, or hide an image",
        description="The author changes tags, visibility and file name. A teacher hides public images of students of "
        "the own class and shows them again (`hidden`), an administrator those of all. Only they and the author see an "
        "image that is hidden; caches may keep it for an hour.",
        response_description="The changed image.",
        responses=problems(400, 403, 404, 409, 413, 415, 422),
        openapi_extra={"security": LOGIN, **request_body(UpdateImage, {"tags": ["duck", "bath"]})},
    )
    async def update_image(request: Request, guid: Guid) -> Response:
        user = policy.require_user(request)
        image = await images.update(viewer_of(user), guid, await read_json(request))
        return json_response(present_image(image, links))

    @router.delete(
        "/image/{guid}",
        status_code=204,
        response_class=Response,
        summary="Delete an image, or cancel it while it is queued",
        description="By its author; if it has none, by an administrator. An image that waits for its turn is cancelled "
        "with the whole call it belongs to, and nothing is paid. With `status=queued` nothing else is deleted: if its "
        "turn came in the meantime, the response is 409 (`code: image-not-queued`), and the picture is made.",
        response_description="The image is deleted.",
        responses=problems(403, 404, 409, 422),
        openapi_extra={"security": LOGIN, "parameters": query_parameters(DeleteImage)},
    )
    async def delete_image(request: Request, guid: Guid) -> Response:
        await images.delete(viewer_of(policy.require_user(request)), guid, read_query(request))
        return Response(status_code=204)

    return router
