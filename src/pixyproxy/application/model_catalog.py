"""The use cases around models: list them, and warn when the one in use is about to be shut down."""

import logging

from pixyproxy.domain.errors import GeneratorError, ModelNotFoundError
from pixyproxy.domain.generation import GeneratorModel
from pixyproxy.ports.image_generator import ImageGenerator

logger = logging.getLogger(__name__)


class ModelCatalog:
    """The models that the generator offers; methods raise a GeneratorError if they cannot be listed."""

    def __init__(self, generator: ImageGenerator) -> None:
        self._generator = generator

    async def list(self) -> tuple[GeneratorModel, ...]:
        """Return all models that make images, sorted by id."""
        return await self._generator.models()

    async def get(self, model_id: str) -> GeneratorModel:
        """Return the model with this id; raise ModelNotFoundError if there is none."""
        for model in await self._generator.models():
            if model.id == model_id:
                return model
        raise ModelNotFoundError(f"The model {model_id[:200]!r} does not exist here.")

    async def warn_of_shutdown(self) -> None:
        """Log a warning if a shutdown of the default model is announced; raise nothing."""
        try:
            models = await self._generator.models()
        except GeneratorError as error:
            logger.info("cannot tell whether a shutdown of the model is announced: %s", error.message)
            return
        for model in models:
            if model.is_default and model.shutdown_date is not None:
                logger.warning(
                    "the model %s is shut down on %s: choose another in PIXYPROXY_OPENAI_MODEL",
                    model.id,
                    model.shutdown_date,
                )
