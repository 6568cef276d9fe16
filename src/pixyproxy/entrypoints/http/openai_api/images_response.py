"""Presenting images and models as OpenAI's images API has them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pybase64
from starlette.requests import Request
from starlette.responses import Response

from pixyproxy.application.generation.recorder import GenerationOutcome
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.application.images.signed_urls import SignedUrls
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.generation import GeneratorModel, PartialImage
from pixyproxy.domain.image import Image, Picture, Visibility
from pixyproxy.domain.usage import sum_usage
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from pixyproxy.entrypoints.http.openai_api.base64_response import Base64, Base64Response
from pixyproxy.entrypoints.http.representation.image_detail import Links

_SMALL_BYTES = 64 * 1024
"""Up to here encoding takes less than handing it to a thread."""
_NOTHING_USED = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


class ImagesPresenter:
    """Makes `ImagesResponse` and the events of a stream from images that are ready.

    https://platform.openai.com/docs/api-reference/images/object and …/images-streaming
    """

    def __init__(self, images: ImageService, links: Links, signed_urls: SignedUrls, policy: AccessPolicy) -> None:
        self._images = images
        self._links = links
        self._content_links = signed_urls
        self._policy = policy

    async def response(self, request: Request, created: GenerationOutcome, *, by_url: bool) -> Response:
        """The whole answer, with the bytes of every picture in base64 or with its address."""
        first = created.images[0]
        document: dict[str, Any] = {"created": int(first.updated_at.timestamp())}
        document |= {name: value for name, value in _properties(first).items() if value != "auto"}
        usage = sum_usage(None if image.result is None else image.result.usage for image in created.images)
        if usage is not None:
            document["usage"] = usage
        # Put together by hand: there is nothing to escape in megabytes of base64.
        parts: list[bytes | Base64] = [_json(document)[:-1], b',"data":']
        for number, image in enumerate(created.images):
            parts.append(b"," if number else b"[")
            if by_url:
                parts.append(_json({**_members(image), "url": self._url(request, image)}))
            else:
                data = await self._bytes(image, created)
                parts += [_json(_members(image))[:-1], b',"b64_json":"', Base64(data), b'"}']
        parts.append(b"]}")
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        if created.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Base64Response(parts, headers)

    async def completed(self, kind: str, image: Image, created: GenerationOutcome) -> bytes:
        """The event that hands out a finished picture, one of those that were created."""
        name = f"{kind}.completed"
        members = {
            "type": name,
            "created_at": int(image.updated_at.timestamp()),
            **_properties(image),
            "usage": dict((image.result and image.result.usage) or _NOTHING_USED),
            "guid": image.guid,
        }
        return _event(name, _with_base64(members, await encode(await self._bytes(image, created))))

    def _url(self, request: Request, image: Image) -> str:
        """An address of this service: for good where anybody may see the image, else signed and for a while."""
        path = f"/image/{image.guid}/content"
        if image.request.visibility is Visibility.PRIVATE or not self._policy.anonymous_may_read:
            path = f"{path}?{self._content_links.query_for(image.guid)}"
        return self._links.absolute(request, path)

    async def _bytes(self, image: Image, created: GenerationOutcome) -> bytes:
        """The bytes just made, else those stored; an error from here on concerns what was paid for."""
        if (made := created.pictures.get(image.guid)) is not None:
            return made
        try:
            return await self._images.content_of(image).read_whole()
        except PixyProxyException as error:
            error.guid, error.may_have_been_paid = image.guid, True
            raise


async def encode(data: bytes) -> bytes:
    """Base64 (RFC 4648, section 4)."""
    if len(data) <= _SMALL_BYTES:
        return pybase64.b64encode(data)
    return await asyncio.to_thread(pybase64.b64encode, data)


async def partial_event(kind: str, partial: PartialImage, options: Mapping[str, Any], created_at: int) -> bytes:
    """The event that hands out an early view of a picture that was asked for with these options."""
    event = f"{kind}.partial_image"
    members = {
        "type": event,
        "partial_image_index": partial.index,
        "created_at": created_at,
        **{
            name: _text(partial.reported.get(name)) or _text(options.get(name)) or default
            for name, default in (
                ("size", "auto"),
                ("quality", "auto"),
                ("background", "auto"),
                ("output_format", "png"),
            )
        },
    }
    return _event(event, _with_base64(members, await encode(partial.data)))


def error_event(document: Mapping[str, Any]) -> bytes:
    """The event that ends a stream that failed."""
    return _event("error", _json({"type": "error", **document}))


def present_model(model: GeneratorModel) -> dict[str, Any]:
    """`Model`; https://platform.openai.com/docs/api-reference/models/object"""
    shown: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": 0 if model.created_at is None else int(model.created_at.timestamp()),
        "owned_by": model.owned_by or "unknown",
    }
    if model.shutdown_date is not None:
        shown["shutdown_date"] = model.shutdown_date
    return shown


def present_models(models: Sequence[GeneratorModel]) -> dict[str, Any]:
    """The list of models."""
    return {"object": "list", "data": [present_model(model) for model in models]}


def _members(image: Image) -> dict[str, Any]:
    """What is told of each picture besides its bytes."""
    members: dict[str, Any] = {"guid": image.guid}
    if image.result is not None and image.result.revised_prompt is not None:
        members["revised_prompt"] = image.result.revised_prompt
    return members


def _properties(image: Image) -> dict[str, str]:
    """How a picture was made: as the generator reports it, else as it was asked for; size and format as they are."""
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


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def _with_base64(members: Mapping[str, Any], encoded: bytes) -> bytes:
    return b"".join([_json(members)[:-1], b',"b64_json":"', encoded, b'"}'])


def _event(name: str, data: bytes) -> bytes:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    return b"".join([b"event: ", name.encode(), b"\ndata: ", data, b"\n\n"])
