"""Collector of the pictures of one call: each is recorded as it arrives, and an error ends what is left."""

from collections.abc import Sequence

from pixyproxy.application.generation.recorder import OutcomeRecorder
from pixyproxy.domain.errors import GeneratorError, GeneratorResponseError, PixyProxyException
from pixyproxy.domain.generation import GeneratedImage, GenerationOutcome
from pixyproxy.domain.image import Image
from pixyproxy.domain.money.prices import PricedRequest


class PictureCollector:
    """Gives the pictures of a call to its images, in order, whatever happens to single ones."""

    def __init__(self, recorder: OutcomeRecorder, images: Sequence[Image], call: PricedRequest) -> None:
        self._recorder = recorder
        self._call = call
        self._images = images
        self._waiting = list(images)
        self._ready: dict[str, Image] = {}
        self._errors: list[PixyProxyException] = []

    @property
    def is_empty(self) -> bool:
        """Return whether no picture has come."""
        return len(self._waiting) == len(self._images)

    async def add(self, picture: GeneratedImage) -> None:
        """Record the picture of the next image; rescue it if all images have one."""
        if not self._waiting:
            surplus = "The generator made more pictures than were requested."
            await self._recorder.rescue(self._images[0], GeneratorResponseError(surplus, raw=picture.data))
            return
        image = self._waiting.pop(0)
        try:
            self._ready[image.guid] = await self._recorder.record(image, picture, self._call)
        except PixyProxyException as error:
            self._errors.append(error)

    async def finish(self, error: GeneratorError | None = None) -> GenerationOutcome:
        """Record why the images that are left have no picture, and return the outcome.

        Raises:
            GeneratorError, BlobStoreError, DBConnectionError: the first error, with the GUID, if no image is ready.
        """
        failure = error or GeneratorResponseError("The generator made fewer pictures than were requested.")
        for image in self._waiting:
            await self._recorder.record_failure(image, failure)
            failure.raw = None  # it is rescued once
        if self._waiting:
            failure.guid = self._waiting[0].guid
            self._errors.append(failure)
        elif error is not None:
            await self._recorder.rescue(self._images[0], error)
        if not self._ready:
            raise self._errors[0]
        return GenerationOutcome(tuple(self._ready.values()))
