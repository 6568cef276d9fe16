"""The routes of OpenAI's images API: generations, edits and models."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pixyproxy.application.generation.edit_sources import SourceReferences
from pixyproxy.application.generation.run import Watcher
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.model_catalog import ModelCatalog
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation import GenerationOutcome
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.api.requests import prefers_async, read_json
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.openai_api import documentation as docs
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodyReader
from pixyproxy.entrypoints.http.openai_api.edit_pictures import refuse_pictures
from pixyproxy.entrypoints.http.openai_api.images_request import ImagesRequest, parse_images_request
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter, present_model, present_models
from pixyproxy.entrypoints.http.openai_api.stream_events import OpenAIEvents
from pixyproxy.entrypoints.http.representation.json_response import json_response
from pixyproxy.entrypoints.http.streaming.event_stream import StreamTimeouts, begin_stream

ModelId = Annotated[str, Path(description="The id of a model.")]


def build_v1_router(
    images: ImageService,
    models: ModelCatalog,
    policy: AccessPolicy,
    presenter: ImagesPresenter,
    bodies: EditBodyReader,
    timeouts: StreamTimeouts,
) -> APIRouter:
    """Build the routes that any client of OpenAI's images API calls unchanged."""
    router = direct_router("openai")

    async def respond(
        request: Request,
        viewer: Viewer,
        wanted: ImagesRequest,
        sources: SourceReferences | None,
        kind: str,
    ) -> Response:
        async def generate(watcher: Watcher | None, wait: bool = True) -> GenerationOutcome:
            return await images.generate(
                viewer,
                wanted.parameters,
                sources,
                idempotency_key=wanted.idempotency_key,
                retried=wanted.retried,
                wait=wait,
                caller=request.state.caller,
                watcher=watcher,
            )

        if wanted.stream:
            events = OpenAIEvents(kind, wanted.parameters, presenter, images, request.state.caller)
            return await begin_stream(
                lambda take: generate(Watcher(on_partial=take)), events, timeouts, request.state.caller
            )
        outcome = await generate(None, wait=not prefers_async(request))
        return await presenter.response(request, outcome, wanted.response_format, wanted.parameters.get("model"))

    @router.post(
        "/v1/images/generations",
        summary="Generate pictures from a prompt (OpenAI's API)",
        responses=docs.IMAGES,
        openapi_extra=docs.generations(),
    )
    async def generate_images(request: Request) -> Response:
        viewer = policy.require_writer(request)
        wanted = parse_images_request(request, await read_json(request))
        refuse_pictures(wanted.parameters)
        return await respond(request, viewer, wanted, None, "image_generation")

    @router.post(
        "/v1/images/edits",
        summary="Generate pictures from pictures (OpenAI's API)",
        responses=docs.IMAGES,
        openapi_extra=docs.edits(),
    )
    async def edit_images(request: Request) -> Response:
        viewer = policy.require_writer(request)
        images.require_editing()
        body, sources = await bodies.read(request)
        try:
            wanted = parse_images_request(request, body)
            if not sources.images:
                raise DataValidationError.at(("image",), "must be given: the picture to edit")
        except DataValidationError:
            sources.close()
            raise
        return await respond(request, viewer, wanted, sources, "image_edit")

    @router.get(
        "/v1/models",
        summary="List the models that generate images (OpenAI's API)",
        responses=docs.MODELS,
        openapi_extra=docs.SECURED,
    )
    async def list_models(request: Request) -> Response:
        policy.require_reader(request)
        return json_response(present_models(await models.list()))

    @router.get(
        "/v1/models/{model:path}",
        summary="Get one model (OpenAI's API)",
        responses=docs.MODEL,
        openapi_extra=docs.SECURED,
    )
    async def get_model(request: Request, model: ModelId) -> Response:
        policy.require_reader(request)
        return json_response(present_model(await models.get(model)))

    return router
