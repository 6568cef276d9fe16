"""ModelCatalog: look-up of a model, and the warning of an announced shutdown."""

import logging

import pytest

from pixyproxy.application.model_catalog import ModelCatalog
from pixyproxy.domain.errors import GeneratorUnavailableError, ModelNotFoundError
from pixyproxy.domain.generation import GeneratorModel
from tests.fixtures.core import ScriptedGenerator

OLD = GeneratorModel("old", shutdown_date="2027-01-31", is_default=True)
NEW = GeneratorModel("new", shutdown_date="2028-01-31")


def offering(*models: GeneratorModel) -> ModelCatalog:
    generator = ScriptedGenerator()
    generator.offered = models
    return ModelCatalog(generator)


async def test_a_model_is_found_by_its_id() -> None:
    models = offering(OLD, NEW)
    assert await models.list() == (OLD, NEW)
    assert await models.get("new") == NEW
    with pytest.raises(ModelNotFoundError, match="'newer' does not exist"):
        await models.get("newer")


async def test_an_announced_shutdown_of_the_default_model_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    await offering(OLD, NEW).warn_of_shutdown()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "the model old is shut down on 2027-01-31" in record.getMessage()
    assert "PIXYPROXY_OPENAI_MODEL" in record.getMessage()


async def test_a_shutdown_of_another_model_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    await offering(GeneratorModel("kept", is_default=True), NEW).warn_of_shutdown()
    assert caplog.records == []


async def test_a_generator_that_cannot_be_reached_is_no_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = ScriptedGenerator()

    async def fail() -> tuple[GeneratorModel, ...]:
        raise GeneratorUnavailableError("away")

    monkeypatch.setattr(generator, "models", fail)
    with caplog.at_level(logging.INFO):
        await ModelCatalog(generator).warn_of_shutdown()
    assert [record.levelno for record in caplog.records] == [logging.INFO]
