"""The port to whatever makes pictures from prompts."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.ports.resource import Resource

OnPartial: TypeAlias = Callable[[PartialImage], None]
"""Called in the event loop with each early view; it returns at once and raises nothing."""
MakeRoom: TypeAlias = Callable[[int | None], Awaitable[None]]
"""Awaited with the length of an answer, or None where it is not known, before its bytes are read into memory."""


class ImageGenerator(Resource):
    """Makes pictures, perhaps slowly and for money.

    Several calls run side by side. The caller enforces a total deadline by cancelling `generate`, which
    must then end promptly.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """A short lower-case name that is recorded with every image, such as `openai`."""

    @property
    @abstractmethod
    def can_edit(self) -> bool:
        """Whether it makes pictures from pictures."""

    @abstractmethod
    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        """Make `request.n` pictures and return their bytes exactly as they came.

        At most one call that can be billed is made: only what cannot have been billed (a refused
        connection, a rate limit) may be tried again. The bytes need not be a picture: the caller
        inspects them. An option that the generator does not know is passed on or ignored, never
        checked against a closed list. There is at least one picture, but there may be fewer or more than
        were asked for. What the call used is split among them, so that the shares add up to it.

        With `on_partial` early views of the pictures are handed to it as they come, before this returns; the
        option `partial_images` says how many are wanted. A generator that has none calls it never.

        With `make_room`, a generator whose answers come from elsewhere awaits it, once or several times, before it
        takes one in, so that many that come together do not fill the memory. One that makes the bytes itself, a few
        at a time, need not.

        The files of `request.images` and `request.attachments` are read from their beginning, as often as need
        be, and not closed.

        Raises, all of them GeneratorErrors whose messages hold no secret, with the generator's own document
        where it gave one: EditingUnsupportedError, before anything is paid, for images if it cannot edit;
        PromptRejectedError with the generator's own reason; GeneratorRequestError for other input it
        refuses; GeneratorRateLimitedError; GeneratorQuotaError; GeneratorCredentialsError;
        GeneratorUnavailableError if it failed or cannot be reached and nothing was billed;
        GeneratorConnectionLostError or GeneratorTimeoutError if it may have been billed;
        GeneratorResponseError, with what was received, if a success holds no image.
        """

    @abstractmethod
    async def models(self) -> tuple[GeneratorModel, ...]:
        """The models that make images, the default one among them, sorted by id; spends no money.

        Raises a GeneratorError if they cannot be found out.
        """

    @abstractmethod
    async def check(self) -> str:
        """Say in a few words what is configured, having found out, without spending money, that it works.

        Raises a GeneratorError that says what is wrong otherwise.
        """
