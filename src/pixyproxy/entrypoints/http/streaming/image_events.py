"""The events of `POST /image`: `image` with the details, `early_view` with a picture, `error` with the problem."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi.sse import format_sse_event
from starlette.requests import Request

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.generation import GenerationOutcome, PartialImage, QueuePlace
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.representation.image_detail import Links, outcome_headers, present_image
from pixyproxy.entrypoints.http.representation.json_response import encode_json
from pixyproxy.entrypoints.http.representation.problems import describe_problem
from pixyproxy.entrypoints.http.streaming.event_stream import Item, StreamEvents
from pixyproxy.entrypoints.http.streaming.picture_event import early_view_event


class ImageEvents(StreamEvents):
    """The events of one picture: its details when it is recorded and whenever its status changes, then early views."""

    def __init__(self, request: Request, images: ImageService, links: Links) -> None:
        self._request = request
        self._images = images
        self._links = links
        self._guid: str | None = None

    def headers(self, first: Item | None) -> Mapping[str, str]:
        return outcome_headers(self._request, self._links, first) if isinstance(first, GenerationOutcome) else {}

    def place(self) -> QueuePlace | None:
        return None if self._guid is None else self._images.place_here(self._guid)

    def news(self, item: Item) -> AsyncGenerator[bytes, None]:
        if isinstance(item, PartialImage):
            return early_view_event("early_view", {"guid": self._guid, "index": item.index}, item.data)
        self._guid = item.image.guid
        return self._details(item.image)

    def completed(self, image: Image) -> AsyncGenerator[bytes, None]:
        return self._details(image)

    def error(self, error: Exception) -> bytes:
        return problem_event(self._request, error)

    async def _details(self, image: Image) -> AsyncGenerator[bytes, None]:
        yield _event("image", present_image(image, self._links, await self._images.place_of(image)))


def problem_event(request: Request, error: Exception) -> bytes:
    """Return the event that ends a stream with a problem."""
    return _event("error", describe_problem(request, error)[0])


def _event(name: str, document: Mapping[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=encode_json(document).decode())
