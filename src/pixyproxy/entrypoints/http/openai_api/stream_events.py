"""The events of OpenAI's images API: `….partial_image`, `….completed`, and `error`."""

import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pixyproxy.application.generation.callers import Caller
from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.generation import PartialImage, QueuePlace
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.openai_api.error_body import error_body
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter, error_event, partial_event
from pixyproxy.entrypoints.http.representation.problems import log_error
from pixyproxy.entrypoints.http.streaming.event_stream import Item, StreamEvents


class OpenAIEvents(StreamEvents):
    """The events of one call; they are named after its `kind`, such as `image_generation`."""

    def __init__(
        self, kind: str, options: Mapping[str, Any], presenter: ImagesPresenter, images: ImageService, caller: Caller
    ) -> None:
        self._kind = kind
        self._options = options
        self._presenter = presenter
        self._images = images
        self._caller = caller
        self._created_at = int(time.time())

    def place(self) -> QueuePlace | None:
        return self._images.place_here(self._caller.guids[0]) if self._caller.guids else None

    def news(self, item: Item) -> AsyncGenerator[bytes, None]:
        if not isinstance(item, PartialImage):
            raise TypeError("the stream does not watch what is recorded")
        return partial_event(self._kind, item, self._options, self._created_at)

    def completed(self, image: Image) -> AsyncGenerator[bytes, None]:
        return self._presenter.completed_event(self._kind, image)

    def error(self, error: Exception) -> bytes:
        log_error(error, 200)  # the status that was sent
        return error_event(error_body(error, self._caller.guids[0] if self._caller.guids else None))
