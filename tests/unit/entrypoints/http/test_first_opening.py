"""The first opening of the parts: databases that are late, and those that refuse."""

from collections.abc import Iterator

import pytest
from dependency_injector import providers

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.containers import Container, build_container
from pixyproxy.domain.errors import DBConnectionError, DBRefusedError, PixyProxyException, SchemaVersionError
from pixyproxy.entrypoints.http import first_opening
from pixyproxy.settings import SettingsError
from tests.fixtures.http_app import memory_settings


class LateImageRepository(MemoryImageRepository):
    """A repository whose `open` fails with each of these errors before it succeeds."""

    def __init__(self, errors: Iterator[PixyProxyException]) -> None:
        super().__init__(MemoryStorage())
        self._errors = errors

    async def open(self) -> None:
        for error in self._errors:
            raise error
        await super().open()


def container_with(errors: Iterator[PixyProxyException], wait_s: str) -> Container:
    container = build_container(memory_settings(PIXYPROXY_START_WAIT_S=wait_s))
    container.image_repository.override(providers.Object(LateImageRepository(errors)))
    return container


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_opening, "_RETRY_EVERY_S", 0)


async def test_a_late_database_is_opened_in_the_end_and_told_once() -> None:
    reasons: list[str] = []
    errors = iter([DBConnectionError("away"), DBConnectionError("still away"), DBConnectionError("locked")])
    await first_opening.open_once(container_with(errors, "60"), reasons.append)
    assert reasons == ["away"]


async def test_it_is_not_waited_for_longer_than_the_setting_says() -> None:
    reasons: list[str] = []
    always = (DBConnectionError("away") for _ in iter(int, 1))
    with pytest.raises(SettingsError, match="away"):
        await first_opening.open_once(container_with(always, "0.05"), reasons.append)
    assert reasons == ["away"]


@pytest.mark.parametrize("error", [DBRefusedError("login"), SchemaVersionError("old"), PixyProxyException("other")])
async def test_refusals_and_wrong_tables_stop_the_start_at_once(error: PixyProxyException) -> None:
    reasons: list[str] = []
    with pytest.raises(SettingsError, match=error.message):
        await first_opening.open_once(container_with(iter([error]), "60"), reasons.append)
    assert reasons == []
