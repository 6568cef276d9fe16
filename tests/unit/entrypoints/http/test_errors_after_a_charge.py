"""Whatever fails once the generator was called, the answer names the image and is not to be repeated by itself."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, NoReturn

import httpx
import pytest

from pixyproxy.domain import errors
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, HttpApp, basic, http_app

too_late = partial(errors.DBConnectionError, "The database did not answer in time.")
wrong_tables = partial(errors.SchemaVersionError, "The tables do not fit this program.")
EVENTS = {"Accept": "text/event-stream"}
EDITS, GENERATIONS = "/v1/images/edits", "/v1/images/generations"
WAYS: dict[str, Callable[[HttpApp], Any]] = {
    "image": lambda app: post(app, "/image", json={"prompt": "p"}),
    "image, events": lambda app: post(app, "/image", json={"prompt": "p"}, headers=EVENTS),
    "generation": lambda app: post(app, GENERATIONS, json={"prompt": "p"}),
    "generation, stream": lambda app: post(app, GENERATIONS, json={"prompt": "p", "stream": True}),
    "edit": lambda app: post(app, EDITS, data={"prompt": "p"}, files={"image": ("a.png", PNG)}),
    "edit, stream": lambda app: post(
        app, EDITS, data={"prompt": "p", "stream": "true"}, files={"image": ("a.png", PNG)}
    ),
}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


async def post(app: HttpApp, path: str, **request: Any) -> httpx.Response:
    return await app.client.post(path, auth=basic(ALICE), **request)


def database_is_lost(app: HttpApp, patch: pytest.MonkeyPatch) -> None:
    break_methods(app, patch, too_late)


def tables_are_wrong(app: HttpApp, patch: pytest.MonkeyPatch) -> None:
    break_methods(app, patch, wrong_tables, "mark_ready")


def generator_times_out(app: HttpApp, patch: pytest.MonkeyPatch) -> None:
    app.generator.outcome = errors.GeneratorTimeoutError("It timed out.")
    app.generator.outcome.document = {"error": {"message": "litellm.Timeout", "type": None, "more": 1}}
    database_is_lost(app, patch)


def a_bug_follows(app: HttpApp, patch: pytest.MonkeyPatch) -> None:
    service = app.container.image_service()

    async def fail_after(use_case: Any, *arguments: Any, **options: Any) -> NoReturn:
        await use_case(*arguments, **options)
        raise RuntimeError("a secret of the service")

    for name in ("create", "generate"):
        patch.setattr(service, name, partial(fail_after, getattr(service, name)))


def break_methods(app: HttpApp, patch: pytest.MonkeyPatch, error: Callable[[], Exception], *names: str) -> None:
    """Have these methods of the repository fail (none: all that write outcomes) as soon as the generator is called."""
    images = app.container.image_repository()

    async def fail(*_: Any, **__: Any) -> NoReturn:
        raise error()

    def start() -> None:
        for name in names or ("mark_ready", "mark_failed", "get", "batch", "predecessors", "mark_caller_left"):
            patch.setattr(images, name, fail)

    app.generator.on_call = start


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [database_is_lost, tables_are_wrong, generator_times_out, a_bug_follows])
async def test_an_error_after_a_charge_names_the_image_and_is_not_repeated(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch, fault: Any, way: str
) -> None:
    with monkeypatch.context() as patch:
        fault(app, patch)
        response = await WAYS[way](app)
    assert len(app.generator.requests) == 1
    [guid] = app.container.memory_storage().images
    assert f'"guid":"{guid}"' in response.text.rpartition("event: ")[2], response.text
    assert "secret" not in response.text
    if response.status_code != 200:
        assert response.headers["x-should-retry"] == "false"
    if fault is not a_bug_follows:
        assert "new Idempotency-Key" in response.text, response.text
    await app.container.generation_runner().maintain()


async def test_a_repeat_that_cannot_read_the_outcome_names_the_image(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"json": {"prompt": "p", "n": 2}, "headers": {"Idempotency-Key": "k"}}
    first = await post(app, GENERATIONS, **request)

    async def fail(*_: Any) -> NoReturn:
        raise too_late()

    monkeypatch.setattr(app.container.image_repository(), "batch", fail)
    response = await post(app, GENERATIONS, **request)
    assert (response.status_code, response.json()["error"]["guid"]) == (503, first.json()["data"][0]["guid"])
