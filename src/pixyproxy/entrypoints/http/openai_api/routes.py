"""The routes of OpenAI's images API: generations, edits and models."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pixyproxy.application.generation.edit_sources import SourceReferences
from pixyproxy.application.generation.model_catalog import ModelCatalog
from pixyproxy.application.generation.submission import GenerationOutcome
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.api.json_body import read_json
from pixyproxy.entrypoints.http.direct_route import direct_router
from pixyproxy.entrypoints.http.middleware.authentication import Gate
from pixyproxy.entrypoints.http.openai_api import documentation as docs
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodies
from pixyproxy.entrypoints.http.openai_api.event_stream import Patience, begin_stream
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter, present_model, present_models
from pixyproxy.entrypoints.http.openai_api.request import Asked, read_asked
from pixyproxy.entrypoints.http.representation.image_detail import json_response
from pixyproxy.ports.image_generator import OnPartial

ModelId = Annotated[str, Path(description="The id of a model.")]


def build_v1_router(
    images: ImageService, models: ModelCatalog, gate: Gate, presenter: ImagesPresenter, patience: Patience
) -> APIRouter:
    """Routes that any client of OpenAI's images API calls unchanged."""
    router = direct_router("openai")
    bodies = EditBodies()

    async def answer(
        request: Request, asked: Asked, kind: str, make: Callable[[OnPartial | None], Awaitable[GenerationOutcome]]
    ) -> Response:
        if asked.stream:
            return await begin_stream(make, kind, asked.wanted, presenter, patience)
        return await presenter.response(request, await make(None), by_url=asked.by_url)

    @router.post(
        "/v1/images/generations",
        summary="Have pictures made from a prompt (OpenAI's API)",
        responses=docs.IMAGES,
        openapi_extra=docs.generations(),
    )
    async def generate_images(request: Request) -> Response:
        viewer = gate.writer(request)
        asked = read_asked(request, await read_json(request))
        make = partial(_make, images, viewer, asked, None)
        return await answer(request, asked, "image_generation", make)

    @router.post(
        "/v1/images/edits",
        summary="Have pictures made from pictures (OpenAI's API)",
        responses=docs.IMAGES,
        openapi_extra=docs.edits(),
    )
    async def edit_images(request: Request) -> Response:
        viewer = gate.writer(request)
        body, sources = await bodies.read(request)
        try:
            asked = read_asked(request, body)
            if not sources.images:
                raise DataValidationError.at(("image",), "must be given: the picture to edit")
        except DataValidationError:
            sources.close()
            raise
        return await answer(request, asked, "image_edit", partial(_make, images, viewer, asked, sources))

    @router.get(
        "/v1/models",
        summary="The models that make images (OpenAI's API)",
        responses=docs.MODELS,
        openapi_extra=docs.SECURED,
    )
    async def list_models(request: Request) -> Response:
        gate.reader(request)
        return json_response(present_models(await models.list()))

    @router.get(
        "/v1/models/{model:path}",
        summary="One model (OpenAI's API)",
        responses=docs.MODEL,
        openapi_extra=docs.SECURED,
    )
    async def get_model(request: Request, model: ModelId) -> Response:
        gate.reader(request)
        return json_response(present_model(await models.get(model)))

    return router


async def _make(
    images: ImageService,
    viewer: str | None,
    asked: Asked,
    sources: SourceReferences | None,
    on_partial: OnPartial | None,
) -> GenerationOutcome:
    return await images.generate(
        viewer,
        asked.wanted,
        sources,
        idempotency_key=asked.idempotency_key,
        retried=asked.retried,
        on_partial=on_partial,
    )
