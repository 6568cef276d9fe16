"""Event streams of `POST /image`: details, early views, the queue, errors before and after the first event."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.generation import PartialImage
from pixyproxy.entrypoints.http.streaming.event_stream import StreamTimeouts
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, HttpApp, basic, http_app
from tests.fixtures.stream_client import StreamClient

EVENTS = {"Accept": "text/event-stream"}
PARTIALS = (PartialImage(b"early", 0), PartialImage(b"later" * 30_000, 1))


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


@asynccontextmanager
async def busy_app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpApp]:
    """Yield an application with one place, which a call holds until its gate opens, and quick comments."""
    timeouts = StreamTimeouts(first_event_s=0.02, queued_s=0.02, place_s=0.02, keep_alive_s=0.02)
    monkeypatch.setattr("pixyproxy.entrypoints.http.app.StreamTimeouts", lambda: timeouts)
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        first = await app.client.post("/image", json={"prompt": "first"}, headers={"Prefer": "respond-async"})
        assert first.json()["status"] == "generating"
        yield app
        app.generator.gate.set()
        await app.container.generation_runner().drain(60)


def client_of(app: HttpApp, key: str | None = None, **fields: Any) -> StreamClient:
    headers = EVENTS | ({} if key is None else {"Idempotency-Key": key})
    return StreamClient(app, "/image", {"prompt": "a duck", "partial_images": 2} | fields, headers)


def open_gate(app: HttpApp) -> None:
    assert app.generator.gate is not None
    app.generator.gate.set()


def statuses(client: StreamClient) -> list[str]:
    return [data["status"] for name, data in client.events() if name == "image"]


async def test_details_come_first_then_early_views_then_the_picture(app: HttpApp) -> None:
    app.generator.partials = PARTIALS
    client = client_of(app)
    await client.task
    assert (client.status, client.complete) == (200, True)
    assert client.headers[b"content-type"].startswith(b"text/event-stream")
    assert client.headers[b"cache-control"] == b"no-store"
    assert [name for name, _ in client.events()] == ["image", "early_view", "early_view", "image"]
    (_, first), (_, early), (_, later), (_, last) = client.events()
    guid = first["guid"]
    assert client.headers[b"location"] == f"http://test.example/image/{guid}".encode()
    assert b"idempotent-replayed" not in client.headers
    assert (first["status"], first["queue"], last["status"]) == ("generating", None, "ready")
    assert early == {"guid": guid, "index": 0, "b64_json": base64.b64encode(b"early").decode()}
    assert (later["index"], base64.b64decode(later["b64_json"])) == (1, PARTIALS[1].data)
    assert last == (await app.client.get(f"/image/{guid}")).json()
    assert last["parameters"] == {"partial_images": 2}
    assert (await app.client.get(last["content_url"])).content == PNG


@pytest.mark.parametrize("wanted", [None, 0])
async def test_early_views_are_made_for_those_only_who_want_some(app: HttpApp, wanted: int | None) -> None:
    app.generator.partials = PARTIALS
    client = client_of(app, partial_images=wanted)
    await client.task
    assert statuses(client) == ["generating", "ready"]
    assert len(client.events()) == 2
    [request] = app.generator.requests
    assert (request.early_views, request.options) == (False, {})
    response = await app.client.post("/image", json={"prompt": "a swan", "partial_images": 3})
    assert response.json()["status"] == "ready"
    assert not app.generator.requests[-1].early_views


@pytest.mark.parametrize("accept", ["*/*", "text/*", "text/event-stream;q=0", "application/json", ""])
async def test_only_those_who_name_events_get_them(app: HttpApp, accept: str) -> None:
    response = await app.client.post("/image", json={"prompt": "a duck"}, headers={"Accept": accept})
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"prompt": " "}, 422, "validation-failed"),
        ({"partial_images": 4}, 422, "validation-failed"),
        ({"n": 2}, 422, "validation-failed"),
        ({"visibility": "private"}, 422, "validation-failed"),
        ({"edit_of": "00000000-0000-4000-8000-000000000000"}, 404, "not-found"),
    ],
)
async def test_an_error_before_anything_begins_is_a_problem(
    app: HttpApp, fields: dict[str, Any], status: int, code: str
) -> None:
    client = client_of(app, **fields)
    await client.task
    assert (client.status, client.headers[b"content-type"]) == (status, b"application/problem+json")
    assert json.loads(client.text)["code"] == code
    assert app.generator.requests == []


async def test_an_error_after_the_first_event_is_an_event(app: HttpApp) -> None:
    app.generator.partials = PARTIALS[:1]
    app.generator.outcome = errors.PromptRejectedError("no")
    client = client_of(app)
    await client.task
    assert (client.status, client.complete) == (200, True)
    assert [name for name, _ in client.events()] == ["image", "early_view", "error"]
    problem = client.events()[-1][1]
    assert (problem["status"], problem["code"], problem["detail"]) == (422, "prompt-rejected", "no")
    assert problem["guid"] == client.events()[0][1]["guid"]


async def test_an_unexpected_error_after_the_first_event_is_not_described(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a secret of the service")

    app.generator.partials = PARTIALS[:1]
    app.generator.gate = asyncio.Event()
    client = client_of(app)
    await client.until(lambda: len(client.events()) == 2)
    monkeypatch.setattr(app.container.image_service(), "place_of", fail)
    open_gate(app)
    await client.task
    name, problem = client.events()[-1]
    assert (name, problem["code"]) == ("error", "internal-error")
    assert "secret" not in client.text


async def test_the_queue_is_told_by_comments_and_the_turn_by_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async with busy_app(monkeypatch) as app:
        app.generator.partials = PARTIALS
        client = client_of(app)
        await client.until(lambda: client.text.count(": queued 1\n\n") >= 2)
        assert client.events()[0][1]["queue"] == {"position": 1, "eta_s": None}
        open_gate(app)
        await client.task
        assert statuses(client) == ["queued", "generating", "ready"]
        assert [name for name, _ in client.events()].count("early_view") == 2


async def test_a_picture_that_is_cancelled_in_the_queue_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async with busy_app(monkeypatch) as app:
        headers = EVENTS | {"Authorization": "Basic " + base64.b64encode(":".join(ALICE).encode()).decode()}
        client = StreamClient(app, "/image", {"prompt": "a duck"}, headers)
        await client.until(lambda: bool(client.events()))
        guid = client.events()[0][1]["guid"]
        assert (await app.client.delete(f"/image/{guid}", auth=basic(ALICE) or ALICE)).status_code == 204
        await client.task
        name, problem = client.events()[-1]
        assert (name, problem["status"]) == ("error", 404)


async def test_the_picture_is_made_after_the_client_hung_up_and_joined_by_its_key(app: HttpApp) -> None:
    app.generator.partials = PARTIALS[:1]
    app.generator.gate = asyncio.Event()
    client = client_of(app, "k")
    await client.until(lambda: len(client.events()) == 2)
    guid = client.events()[0][1]["guid"]
    client.left.set()
    await client.task
    assert not client.complete
    again = client_of(app, "k")
    await again.until(lambda: bool(again.events()))
    assert again.events()[0][1] == client.events()[0][1]
    assert (again.headers[b"idempotent-replayed"], again.complete) == (b"true", False)
    open_gate(app)
    await again.task
    assert (statuses(again), again.events()[-1][1]["guid"]) == (["generating", "ready"], guid)
    assert len(app.generator.requests) == 1


async def test_a_repeat_while_it_waits_gets_the_early_views_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with busy_app(monkeypatch) as app:
        app.generator.partials = PARTIALS
        body = {"prompt": "a duck", "partial_images": 2}
        first = await app.client.post("/image", json=body, headers={"Prefer": "respond-async", "Idempotency-Key": "k"})
        assert first.json()["status"] == "queued"
        client = client_of(app, "k")
        await client.until(lambda: bool(client.events()))
        open_gate(app)
        await client.task
        assert [name for name, _ in client.events()] == ["image", "image", "early_view", "early_view", "image"]
        assert {data["guid"] for _, data in client.events()} == {first.json()["guid"]}


async def test_a_repeat_of_what_has_ended_gets_its_end_only(app: HttpApp) -> None:
    app.generator.partials = PARTIALS
    await client_of(app, "k").task
    again = client_of(app, "k")
    await again.task
    assert (statuses(again), len(again.events())) == (["ready"], 1)
    assert again.headers[b"idempotent-replayed"] == b"true"
    app.generator.outcome = errors.PromptRejectedError("no")
    await client_of(app, "r").task
    refused = client_of(app, "r")
    await refused.task
    assert (refused.status, refused.headers[b"idempotent-replayed"]) == (422, b"true")
    other = client_of(app, "k", prompt="another duck")
    await other.task
    assert (other.status, json.loads(other.text)["code"]) == (422, "idempotency-key-reused")
    assert len(app.generator.requests) == 2


async def test_a_caller_waits_until_the_last_event(app: HttpApp) -> None:
    """One who hung up after the first event is joined by an identical request; one who still waits is not."""
    app.generator.partials = PARTIALS[:1]
    app.generator.gate = asyncio.Event()
    waiting = client_of(app)
    await waiting.until(lambda: len(waiting.events()) == 2)
    beside = client_of(app)
    await beside.until(lambda: len(beside.events()) == 2)
    assert waiting.events()[0][1]["guid"] != beside.events()[0][1]["guid"]
    beside.left.set()
    await beside.task
    joined = client_of(app)
    await joined.until(lambda: bool(joined.events()))
    assert joined.events()[0][1]["guid"] == beside.events()[0][1]["guid"]
    open_gate(app)
    await asyncio.gather(waiting.task, joined.task)
    assert len(app.generator.requests) == 2
