"""The last known state of the generator, as probes see it."""

import asyncio

import pytest

from pixyproxy.application.maintenance import generator_health
from pixyproxy.application.maintenance.generator_health import GeneratorHealth
from pixyproxy.domain.errors import GeneratorCredentialsError, GeneratorRateLimitedError, GeneratorUnavailableError
from tests.fixtures.core import ScriptedGenerator
from tests.fixtures.http_app import http_app

KEY = GeneratorCredentialsError("OPENAI_API_KEY is refused.")
ADDRESS = GeneratorUnavailableError("OPENAI_BASE_URL answers 404 to everything.")


class CheckedGenerator(ScriptedGenerator):
    """A generator whose check has these outcomes, the last one for ever; `hangs` makes it wait."""

    def __init__(self, *outcomes: Exception | None) -> None:
        super().__init__()
        self.outcomes = list(outcomes)
        self.checks = 0
        self.hangs = False

    async def check(self) -> str:
        self.checks += 1
        if self.hangs:
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise outcome
        return "works"


@pytest.fixture
def _always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_health, "_GOOD_FOR_S", 0)
    monkeypatch.setattr(generator_health, "_BAD_FOR_S", 0)


async def states(generator: CheckedGenerator, count: int) -> list[str]:
    """Return the state after each of so many checks."""
    health, found = GeneratorHealth(generator), []
    for _ in range(count):
        await health.state()
        while health._check is not None:
            await asyncio.sleep(0)
        found.append(health._state or "")
    return found


@pytest.mark.usefixtures("_always_anew")
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((None,), ["ok", "ok"]),
        ((KEY,), [f"generator-credentials: {KEY.message}"] * 2),
        ((None, KEY), ["ok", f"generator-credentials: {KEY.message}"]),
        ((KEY, None), [f"generator-credentials: {KEY.message}", "ok"]),
        ((ADDRESS,), [f"generator-unavailable: {ADDRESS.message}"] * 2),
        ((ADDRESS, None), [f"generator-unavailable: {ADDRESS.message}", "ok"]),
        ((None, ADDRESS), ["ok", "ok"]),
        ((GeneratorRateLimitedError("later"),), ["ok", "ok"]),
        ((ZeroDivisionError(),), ["ok", "ok"]),
    ],
)
async def test_what_is_set_up_wrongly_is_told_with_its_reason(
    outcomes: tuple[Exception | None, ...], expected: list[str]
) -> None:
    assert await states(CheckedGenerator(*outcomes), 2) == expected


async def test_the_generator_is_not_asked_each_time() -> None:
    generator = CheckedGenerator(KEY)
    health = GeneratorHealth(generator)
    assert {await health.state() for _ in range(5)} == {f"generator-credentials: {KEY.message}"}
    assert generator.checks == 1


async def test_a_slow_generator_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_health, "_FIRST_WAIT_S", 0)
    generator = CheckedGenerator(KEY)
    generator.hangs = True
    health = GeneratorHealth(generator)
    assert [await health.state(), await health.state()] == ["ok", "ok"]
    await asyncio.sleep(0)
    assert generator.checks == 1


async def test_readiness_names_the_setting() -> None:
    async with http_app() as app:

        async def check() -> str:
            raise KEY

        app.generator.check = check  # type: ignore[method-assign]
        response = await app.client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "database": "ok",
        "blob_store": "ok",
        "generator": f"generator-credentials: {KEY.message}",
    }
