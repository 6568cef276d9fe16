"""The use cases around models: which there are, and a warning when the one in use is going to end."""

import logging

from pixyproxy.domain.errors import GeneratorError, ModelNotFoundError
from pixyproxy.domain.generation import GeneratorModel
from pixyproxy.ports.image_generator import ImageGenerator

logger = logging.getLogger(__name__)


class ModelCatalog:
    """What the generator offers; every method raises a GeneratorError if that cannot be found out."""

    def __init__(self, generator: ImageGenerator) -> None:
        self._generator = generator

    async def list(self) -> tuple[GeneratorModel, ...]:
        """All models that make images, sorted by id."""
        return await self._generator.models()

    async def get(self, model_id: str) -> GeneratorModel:
        """One of them; raises ModelNotFoundError."""
        for model in await self._generator.models():
            if model.id == model_id:
                return model
        raise ModelNotFoundError(f"The model {model_id[:200]!r} does not exist here.")

    async def warn_of_shutdown(self) -> None:
        """Log a warning if the model that is used by default has an end that was announced; raises nothing."""
        try:
            models = await self._generator.models()
        except GeneratorError as error:
            logger.info("whether the model has an announced end is not known: %s", error.message)
            return
        for model in models:
            if model.is_default and model.shutdown_date is not None:
                logger.warning(
                    "the model %s is shut down on %s: choose another in PIXYPROXY_OPENAI_MODEL",
                    model.id,
                    model.shutdown_date,
                )
