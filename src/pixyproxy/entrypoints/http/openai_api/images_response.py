"""Images and models as OpenAI's images API presents them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi.sse import format_sse_event
from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.application.images.content import ImageContent
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.generation import GenerationOutcome, GeneratorModel, PartialImage
from pixyproxy.domain.image import UNDER_WAY, Image, Picture
from pixyproxy.domain.money.costs import sum_costs
from pixyproxy.domain.usage import sum_usage
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.representation.image_detail import (
    POLL_AFTER_S,
    Links,
    content_path,
    cost_header,
    outcome_headers,
)
from pixyproxy.entrypoints.http.representation.json_response import encode_json, json_response
from pixyproxy.entrypoints.http.streaming.base64_response import Base64, base64_response
from pixyproxy.entrypoints.http.streaming.picture_event import early_view_event, picture_event

_NO_USAGE = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}
_PARTIAL_DEFAULTS = {"size": "auto", "quality": "auto", "background": "auto", "output_format": "png"}


class ImagesPresenter:
    """Builds `ImagesResponse` and the events of a stream from images that are ready.

    https://platform.openai.com/docs/api-reference/images/object and …/images-streaming
    """

    def __init__(
        self,
        images: ImageService,
        links: Links,
        signed_urls: SignedUrls,
        policy: AccessPolicy,
        response_format: str | None,
    ) -> None:
        """Take the parts, and what a response holds by default: `b64_json`, `url`, `both`, or None for OpenAI's way."""
        self._images = images
        self._links = links
        self._signed_urls = signed_urls
        self._policy = policy
        self._response_format = response_format

    async def response(
        self, request: Request, outcome: GenerationOutcome, response_format: str | None, model: object
    ) -> Response:
        """Return the whole response, with the address of every picture, its bytes in base64, or both.

        `response_format` and `model` are those that the request names, None if it names none. While a picture waits or
        is being made the response is 202 and has the GUIDs only.
        """
        if any(image.status in UNDER_WAY for image in outcome.images):
            return self._accepted(request, outcome)
        first = outcome.images[0]
        wanted = response_format or self._response_format or _default_format(model or first.request.model)
        document: dict[str, Any] = {"created": int(first.updated_at.timestamp())}
        document |= {name: value for name, value in _properties(first).items() if value != "auto"}
        usage = sum_usage(None if image.result is None else image.result.usage for image in outcome.images)
        cost = sum_costs(image.cost for image in outcome.images)
        if usage is not None:
            document["usage"] = usage if cost is None else {**usage, "cost": float(cost)}
        # Joined by hand: a JSON encoder would look for characters to escape in megabytes of base64.
        parts: list[bytes | Base64] = [encode_json(document)[:-1], b',"data":']
        for number, image in enumerate(outcome.images):
            members = _members(image) | ({} if wanted == "b64_json" else {"url": self._url(request, image)})
            parts += [b"," if number else b"[", encode_json(members)[:-1]]
            if wanted != "url":
                parts += [b',"b64_json":"', await self._stored(image), b'"']
            parts.append(b"}")
        parts.append(b"]}")
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        if outcome.replayed:
            headers["Idempotent-Replayed"] = "true"
        headers.update(cost_header(outcome))
        try:
            return await base64_response(parts, headers)
        except PixyProxyException as error:
            raise _of_paid(error, first) from error.__cause__

    def _accepted(self, request: Request, outcome: GenerationOutcome) -> Response:
        """Return the response to `Prefer: respond-async`: the GUIDs of pictures that wait or are being made."""
        first = outcome.images[0]
        headers = outcome_headers(request, self._links, outcome)
        headers |= {"Preference-Applied": "respond-async", "Retry-After": POLL_AFTER_S}
        created = int(first.request.created_at.timestamp())
        return json_response(
            {"created": created, "data": [{"guid": image.guid} for image in outcome.images]}, 202, headers
        )

    async def completed_event(self, kind: str, image: Image) -> AsyncGenerator[bytes, None]:
        """Yield the event with a final picture piece by piece; an error before the first one is of the image."""
        name = f"{kind}.completed"
        members = {
            "type": name,
            "created_at": int(image.updated_at.timestamp()),
            **_properties(image),
            "usage": {**((image.result and image.result.usage) or _NO_USAGE), **_cost(image)},
            "guid": image.guid,
        }
        picture = await self._stored(image)
        async with aclosing(picture_event(name, members, picture.pieces())) as pieces:
            async for piece in pieces:
                yield piece

    def _url(self, request: Request, image: Image) -> str:
        """Return the address of an image: permanent if anybody may see the image, else signed and temporary."""
        path = content_path(image)
        if not image.request.is_public or not self._policy.anonymous_may_read:
            path = f"{path}?{self._signed_urls.query_for(image.guid)}"
        return self._links.absolute(request, path)

    async def _stored(self, image: Image) -> Base64:
        """Return the stored bytes of an image, which are read when they are sent; an error concerns a paid picture."""
        content = self._images.content_of(image)
        try:
            await content.location()
        except PixyProxyException as error:
            raise _of_paid(error, image) from error.__cause__
        return Base64(content.result.size_bytes, partial(_read, content))


async def _read(content: ImageContent) -> AsyncIterator[bytes]:
    async with await content.read() as reader:
        async for piece in reader:
            yield piece


def partial_event(
    kind: str, early: PartialImage, options: Mapping[str, Any], created_at: int
) -> AsyncGenerator[bytes, None]:
    """Yield the event with a partial picture that was requested with these options, piece by piece."""
    name = f"{kind}.partial_image"
    members = {"type": name, "partial_image_index": early.index, "created_at": created_at}
    for field, default in _PARTIAL_DEFAULTS.items():
        members[field] = _text(early.reported.get(field)) or _text(options.get(field)) or default
    return early_view_event(name, members, early.data)


def error_event(body: Mapping[str, Any]) -> bytes:
    """Return the event that ends a stream with an error."""
    return format_sse_event(event="error", data_str=encode_json({"type": "error", **body}).decode())


def present_model(model: GeneratorModel) -> dict[str, Any]:
    """Return `Model`; https://platform.openai.com/docs/api-reference/models/object"""
    presented: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": 0 if model.created_at is None else int(model.created_at.timestamp()),
        "owned_by": model.owned_by or "unknown",
    }
    if model.shutdown_date is not None:
        presented["shutdown_date"] = model.shutdown_date
    return presented


def present_models(models: Sequence[GeneratorModel]) -> dict[str, Any]:
    """Return the list of models."""
    return {"object": "list", "data": [present_model(model) for model in models]}


def _of_paid(error: PixyProxyException, image: Image) -> PixyProxyException:
    """Return the error as one that concerns a picture that was paid for."""
    error.guid, error.may_have_been_paid = image.guid, True
    return error


def _default_format(model: object) -> str:
    """Return what OpenAI's responses for a model hold unless they are asked for something else."""
    name = str(model).rpartition("/")[2].lower()
    return "url" if name.startswith("dall-e-") else "b64_json"


def _members(image: Image) -> dict[str, Any]:
    """Return the members of a picture besides its bytes."""
    members: dict[str, Any] = {"guid": image.guid}
    if image.result is not None and image.result.revised_prompt is not None:
        members["revised_prompt"] = image.result.revised_prompt
    return members


def _cost(image: Image) -> dict[str, float]:
    """Return the cost as a member of `usage`, where OpenRouter has it."""
    cost = sum_costs([image.cost])
    return {} if cost is None else {"cost": float(cost)}


def _properties(image: Image) -> dict[str, str]:
    """Return quality and background as reported, else as requested, and the real size and format."""
    result = image.result
    reported = (result and result.reported) or {}
    picture = Picture("image/png", 0, 0) if result is None else result.picture
    return {
        "size": f"{picture.width}x{picture.height}",
        "quality": _text(reported.get("quality")) or _text(image.request.parameters.get("quality")) or "auto",
        "background": _text(reported.get("background")) or _text(image.request.parameters.get("background")) or "auto",
        "output_format": picture.media_type.partition("/")[2].partition("+")[0],
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
