"""Port to generators, which make pictures from prompts."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.ports.resource import Resource

OnPartial: TypeAlias = Callable[[PartialImage], None]
"""Callback that receives each partial image in the event loop; it returns at once and raises nothing."""
MakeRoom: TypeAlias = Callable[[int | None], Awaitable[None]]
"""Awaited with the length of a response, or None if unknown, before its bytes are read into memory."""


class ImageGenerator(Resource):
    """Generator of pictures, perhaps slow and billed.

    Several calls may run concurrently. The caller enforces a total deadline by cancelling `generate`, which must
    then end promptly.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short lower-case name that is recorded with every image, such as `openai`."""

    @property
    @abstractmethod
    def can_edit(self) -> bool:
        """True if it makes pictures from other pictures."""

    @abstractmethod
    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        """Generate `request.n` pictures and return their bytes exactly as received.

        At most one call is made that can be billed: only one that cannot have been billed (a refused connection, a
        rate limit) may be repeated. The bytes need not be a picture: the caller inspects them. Unknown options are
        passed on or ignored, never checked against a closed list. The result holds at least one picture, but
        perhaps fewer or more than requested. The usage of the call is split among them so that the shares add up.

        `on_partial` is called with each partial image before this method returns; the option `partial_images` says
        how many are wanted. A generator without partial images never calls it.

        `make_room` is awaited, perhaps several times, before a response from elsewhere is read into memory. A
        generator that makes the bytes itself need not call it.

        The files of `request.images` and `request.attachments` are read from their beginning, as often as needed,
        and not closed.

        Every error is a GeneratorError whose message holds no secret, with the generator's own error document if
        there is one.

        Raises EditingUnsupportedError if the request has images and the generator cannot edit; nothing is billed.
        Raises PromptRejectedError with the generator's reason if it refuses the prompt.
        Raises GeneratorRequestError if it refuses the request for another reason.
        Raises GeneratorRateLimitedError, GeneratorQuotaError or GeneratorCredentialsError.
        Raises GeneratorUnavailableError if it failed or cannot be reached and nothing was billed.
        Raises GeneratorConnectionLostError or GeneratorTimeoutError if the call may have been billed.
        Raises GeneratorResponseError, with the bytes received, if a successful response holds no picture.
        """

    @abstractmethod
    async def models(self) -> tuple[GeneratorModel, ...]:
        """Return the models that make images, with the default one, sorted by id; costs nothing.

        Raises GeneratorError if they cannot be listed.
        """

    @abstractmethod
    async def check(self) -> str:
        """Test the configuration without cost and describe it in one line.

        Raises GeneratorError with the reason if it does not work.
        """
