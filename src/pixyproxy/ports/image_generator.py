"""Port to generators, which make pictures from prompts."""

from abc import abstractmethod
from collections.abc import AsyncGenerator

from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.ports.resource import Resource


class ImageGenerator(Resource):
    """Generator of pictures, perhaps slow and billed.

    Several calls may run concurrently. The caller enforces a total deadline by cancelling a step of `generate`,
    which must then end promptly.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short lower-case name that is recorded with every image, such as `openai`."""

    @property
    def default_model(self) -> str | None:
        """Return the model that makes the pictures of a request that names none, if it is known."""
        return None

    @property
    @abstractmethod
    def can_edit(self) -> bool:
        """True if it makes pictures from other pictures."""

    @property
    def has_free_early_views(self) -> bool:
        """Return whether every picture can have partial images that cost nothing of their own."""
        return False

    @abstractmethod
    def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        """Generate `request.n` pictures and yield each, its bytes exactly as received, as soon as it is there.

        At most one call is made that can be billed: only one that cannot have been billed (a refused connection) may be
        repeated, and none after a rate limit: the caller waits for its next turn. The bytes need not be a picture: the
        caller inspects them. Unknown options are passed on or ignored, never checked against a closed list. At least
        one picture is yielded unless an error is raised, but perhaps fewer or more than requested; an error may follow
        pictures. The usage of the call is split among them so that the shares add up.

        Partial images are yielded only with `request.early_views`, and not by every generator. The caller stores
        each picture before it asks for the next item: a generator that bounds its memory counts a picture until then.

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
        Raises GeneratorResponseError if a successful response holds no picture.
        Whatever arrived and is in no yielded picture is the error's `raw`, if it may have been paid for.
        """

    async def read_rescued(self, data: bytes) -> tuple[GeneratedImage, ...]:
        """Return the pictures in bytes that an earlier version rescued because it could not read them; perhaps none.

        By default the bytes themselves are the picture.
        """
        return (GeneratedImage(data),)

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
