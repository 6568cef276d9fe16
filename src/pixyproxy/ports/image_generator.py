"""The port to whatever makes pictures from prompts."""

from abc import abstractmethod

from pixyproxy.domain.image import GeneratedImage, GenerationRequest
from pixyproxy.ports.lifecycle import Resource


class ImageGenerator(Resource):
    """Makes pictures, perhaps slowly and for money.

    Several calls run side by side. The caller enforces a total deadline by cancelling `generate`, which
    must then end promptly.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """A short lower-case name that is recorded with every image, such as `openai`."""

    @abstractmethod
    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """Make one picture and return its bytes exactly as they came.

        At most one call that can be billed is made: only what cannot have been billed (a refused
        connection, a rate limit) may be tried again. The bytes need not be a picture: the caller
        inspects them. An option that the generator does not know is passed on or ignored, never
        checked against a closed list.

        Raises, all of them GeneratorErrors whose messages hold no secret:
        PromptRejectedError with the generator's own reason; GeneratorRequestError for other input it
        refuses; GeneratorRateLimitedError; GeneratorQuotaError; GeneratorCredentialsError;
        GeneratorUnavailableError if it failed or cannot be reached and nothing was billed;
        GeneratorConnectionLostError or GeneratorTimeoutError if it may have been billed;
        GeneratorAnswerError, with what was received, if a success holds no image.
        """

    @abstractmethod
    async def check(self) -> str:
        """Say in a few words what is configured, having found out, without spending money, that it works.

        Raises a GeneratorError that says what is wrong otherwise.
        """
