"""Event streams of OpenAI's images API: events, comments, errors before and after the first byte."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage, PartialImage
from pixyproxy.entrypoints.http.streaming import event_stream
from pixyproxy.entrypoints.http.streaming.event_stream import StreamTimeouts
from tests.fixtures.core import PNG
from tests.fixtures.http_app import HttpApp, http_app
from tests.fixtures.stream_client import StreamClient

SHORT_TIMEOUTS = StreamTimeouts(first_event_s=0.02, keep_alive_s=0.02)
PARTIALS = (PartialImage(b"early", 0, {"quality": "low"}), PartialImage(b"later" * 30_000, 1))


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


@pytest.fixture
async def hasty_app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpApp]:
    monkeypatch.setattr("pixyproxy.entrypoints.http.app.StreamTimeouts", lambda: SHORT_TIMEOUTS)
    async with http_app() as app:
        yield app


def client_of(app: HttpApp, **body: Any) -> StreamClient:
    """Return a client of a generation."""
    return StreamClient(app, "/v1/images/generations", {"prompt": "a duck", "stream": True} | body)


async def test_partial_pictures_precede_the_final_picture(app: HttpApp) -> None:
    usage = {"total_tokens": 5}
    app.generator.partials = PARTIALS
    app.generator.outcome = GeneratedImage(PNG, usage=usage, reported={"background": "opaque"})
    client = client_of(app, partial_images=2, quality="medium", output_format="webp")
    await client.task
    assert (client.status, client.complete) == (200, True)
    assert client.headers[b"content-type"].startswith(b"text/event-stream")
    assert client.headers[b"cache-control"] == b"no-store"
    (one, early), (two, later), (three, final) = client.events()
    assert (one, two, three) == (
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    )
    assert base64.b64decode(early["b64_json"]) == b"early"
    assert base64.b64decode(later["b64_json"]) == PARTIALS[1].data
    assert (early["type"], early["partial_image_index"], later["partial_image_index"]) == (one, 0, 1)
    assert (early["quality"], later["quality"]) == ("low", "medium")
    assert (early["size"], early["background"], early["output_format"]) == ("auto", "auto", "webp")
    assert base64.b64decode(final["b64_json"]) == PNG
    assert (final["type"], final["usage"], final["size"]) == (three, {**usage, "cost": 0.0}, "640x480")
    assert (final["quality"], final["background"], final["output_format"]) == ("medium", "opaque", "png")
    assert final["created_at"] > 0
    detail = (await app.client.get(f"/image/{final['guid']}")).json()
    assert detail["parameters"] == {"partial_images": 2, "quality": "medium", "output_format": "webp"}


async def test_a_generator_without_partial_pictures_sends_the_final_picture_only(app: HttpApp) -> None:
    app.generator.outcome = GeneratedImage(PNG)
    client = client_of(app, partial_images=3)
    await client.task
    [(name, final)] = client.events()
    assert name == "image_generation.completed"
    assert final["usage"]["total_tokens"] == 0


async def test_each_picture_has_an_event(app: HttpApp) -> None:
    client = client_of(app, n=2)
    await client.task
    assert [name for name, _ in client.events()] == ["image_generation.completed"] * 2


async def test_partial_pictures_are_sent_as_they_arrive(app: HttpApp) -> None:
    app.generator.partials = PARTIALS[:1]
    app.generator.gate = asyncio.Event()
    client = client_of(app)
    while not client.events():
        await asyncio.sleep(0)
    assert not client.complete
    app.generator.gate.set()
    await client.task
    assert [name for name, _ in client.events()] == ["image_generation.partial_image", "image_generation.completed"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.PromptRejectedError("no"), 400),
        (errors.GeneratorRateLimitedError("no"), 429),
        (errors.GeneratorTimeoutError("no"), 504),
    ],
)
async def test_an_error_before_the_first_event_is_an_error_response(
    app: HttpApp, error: errors.GeneratorError, status: int
) -> None:
    app.generator.outcome = error
    client = client_of(app)
    await client.task
    assert (client.status, client.headers[b"content-type"]) == (status, b"application/json")
    assert json.loads(b"".join(client.pieces))["error"]["message"] == error.detail


async def test_an_error_after_the_first_event_is_an_event(app: HttpApp) -> None:
    app.generator.partials = PARTIALS[:1]
    app.generator.outcome = errors.PromptRejectedError("no")
    client = client_of(app)
    await client.task
    assert (client.status, client.complete) == (200, True)
    name, data = client.events()[-1]
    assert (name, data["type"]) == ("error", "error")
    assert (data["error"]["code"], data["error"]["message"]) == ("moderation_blocked", "no")


async def test_comments_keep_the_connection_alive_between_events(hasty_app: HttpApp) -> None:
    hasty_app.generator.gate = asyncio.Event()
    client = client_of(hasty_app)
    while client.pieces.count(event_stream.KEEP_ALIVE) < 2:
        await asyncio.sleep(0.01)
    assert client.status == 200
    hasty_app.generator.gate.set()
    await client.task
    assert [name for name, _ in client.events()] == ["image_generation.completed"]


async def test_an_unexpected_error_after_the_first_event_is_not_described(
    hasty_app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def fail(*_: Any, **__: Any) -> None:
        await gate.wait()
        raise RuntimeError("a secret of the service")

    monkeypatch.setattr(hasty_app.container.image_service(), "generate", fail)
    client = client_of(hasty_app)
    while not client.pieces:
        await asyncio.sleep(0.01)
    gate.set()
    await client.task
    [(name, data)] = client.events()
    assert (name, data["error"]["type"]) == ("error", "server_error")
    assert b"secret" not in b"".join(client.pieces)


async def test_the_picture_is_stored_after_the_client_hung_up(hasty_app: HttpApp) -> None:
    hasty_app.generator.gate = asyncio.Event()
    client = client_of(hasty_app)
    while not client.pieces:
        await asyncio.sleep(0.01)
    client.left.set()
    await client.task
    assert not client.complete
    hasty_app.generator.gate.set()
    while not (found := (await hasty_app.client.get("/image")).json()):
        await asyncio.sleep(0.01)
    assert (await hasty_app.client.get(found[0]["content_url"])).content == PNG


async def test_a_replay_streams_the_final_picture_only(app: HttpApp) -> None:
    app.generator.partials = PARTIALS
    body = {"json": {"prompt": "a duck", "stream": True}, "headers": {"Idempotency-Key": "k"}}
    first = await app.client.post("/v1/images/generations", **body)
    second = await app.client.post("/v1/images/generations", **body)
    assert first.text.count("event: ") == 3
    assert second.text.count("event: ") == 1
    assert second.text.split("\n\n")[0] == first.text.split("\n\n")[2]
    assert len(app.generator.requests) == 1
