"""Callers who leave before the whole response was sent are noticed, and only they."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from pixyproxy.domain.errors import BlobStoreError
from pixyproxy.domain.generation import GeneratedImage, PartialImage
from pixyproxy.entrypoints.http.openai_api.images_response import ImagesPresenter
from tests.fixtures.core import PNG
from tests.fixtures.http_app import HttpApp, http_app

PATHS = ["/image", "/v1/images/generations"]


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        app.generator.gate = asyncio.Event()
        yield app


class Connection:
    """A request on a connection like uvicorn's, whose buffer is full after `buffered` messages.

    Sending waits then, until the client hangs up, and sends nothing more.
    """

    def __init__(self, app: HttpApp, path: str, *, buffered: int = 1000, **body: Any) -> None:
        self._buffered = buffered
        self._app = app
        self._requests = [{"type": "http.request", "body": json.dumps({"prompt": "a duck", **body}).encode()}]
        self._over = asyncio.Event()
        self.hung_up = False
        self.received: list[Mapping[str, Any]] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "scheme": "http",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"test.example"), (b"content-type", b"application/json")],
            "server": ("test", 80),
        }
        self.task = asyncio.create_task(app.asgi(scope, self._receive, self._send))  # type: ignore[arg-type]

    @property
    def complete(self) -> bool:
        return bool(self.received) and not self.received[-1].get("more_body", True)

    def hang_up(self) -> None:
        self.hung_up = True
        self._over.set()

    async def _receive(self) -> Mapping[str, Any]:
        if self._requests:
            return self._requests.pop()
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if len(self.received) == self._buffered:
            await self._over.wait()
        if not self.hung_up:
            self.received.append(message)
            if self.complete:
                self._over.set()  # receive() says "disconnect" from now on


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


def left(app: HttpApp) -> bool:
    """Return whether the caller of the only image left."""
    [guid] = app.container.memory_storage().images
    return guid in app.container.memory_storage().callers_left


async def begun(app: HttpApp, path: str, **values: Any) -> Connection:
    connection = Connection(app, path, **values)
    await until(lambda: app.generator.requests)
    return connection


def let_go(app: HttpApp) -> None:
    assert app.generator.gate is not None
    app.generator.gate.set()


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_the_whole_response_has_not_left(app: HttpApp, path: str) -> None:
    connection = await begun(app, path)
    let_go(app)
    await connection.task
    await turns()
    assert (connection.complete, left(app)) == (True, False)


@pytest.mark.parametrize("path", PATHS)
async def test_who_hangs_up_during_the_generation_has_left(app: HttpApp, path: str) -> None:
    connection = await begun(app, path)
    connection.hang_up()
    await turns()
    assert left(app)
    let_go(app)
    await connection.task
    response = await app.client.post(path, json={"prompt": "a duck"})
    assert (response.status_code, response.headers["idempotent-replayed"]) == (200, "true")
    assert len(app.generator.requests) == 1


async def test_who_hangs_up_after_an_early_view_has_left(app: HttpApp) -> None:
    app.generator.partials = (PartialImage(b"early", 0),)
    connection = await begun(app, "/v1/images/generations", stream=True)
    await until(lambda: len(connection.received) > 1)
    connection.hang_up()
    await turns()
    assert left(app)
    let_go(app)
    await connection.task


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("buffered", [1, 2, 3])
async def test_who_hangs_up_during_a_slow_download_has_left(app: HttpApp, stream: bool, buffered: int) -> None:
    app.generator.outcome = GeneratedImage(PNG + b"." * 300_000)
    connection = await begun(app, "/v1/images/generations", stream=stream, buffered=buffered)
    let_go(app)
    await until(lambda: len(connection.received) == buffered)
    await turns()
    assert not left(app)
    connection.hang_up()
    await connection.task
    await turns()
    assert (connection.complete, left(app)) == (False, True)


@pytest.mark.parametrize("path", PATHS)
async def test_who_is_sent_away_by_a_shutdown_has_left(app: HttpApp, path: str) -> None:
    connection = await begun(app, path)
    connection.task.cancel()
    await asyncio.gather(connection.task, return_exceptions=True)
    await turns()
    assert left(app)


async def test_who_gets_an_unexpected_error_has_left(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(ImagesPresenter, "response", broken)
    connection = await begun(app, "/v1/images/generations")
    let_go(app)
    await connection.task
    await turns()
    assert (connection.received[0]["status"], left(app)) == (500, True)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_gets_an_error_in_place_of_a_ready_picture_has_left(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise BlobStoreError("The store is away.")

    connection = await begun(app, "/v1/images/generations", stream=stream)
    monkeypatch.setattr(ImagesPresenter, "_stored", away)
    let_go(app)
    await connection.task
    await turns()
    assert (connection.complete, connection.received[0]["status"]) == (True, 200 if stream else 503)
    assert left(app)
    monkeypatch.undo()
    response = await app.client.post("/v1/images/generations", json={"prompt": "a duck", "stream": stream})
    assert response.status_code == 200
    assert len(app.generator.requests) == 1


async def test_a_body_in_several_parts_arrives_whole(app: HttpApp) -> None:
    app.generator.gate = None
    messages = [
        {"type": "http.request", "body": b'{"prompt":', "more_body": True},
        {"type": "http.request", "body": b' "a duck"}'},
    ]
    response = await app.raw("POST", "/image", headers=[(b"content-type", b"application/json")], messages=messages)
    assert json.loads(response.body)["prompt"] == "a duck"
