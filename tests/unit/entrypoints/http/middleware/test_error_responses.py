"""Requests that the end of the service interrupts: the server cancels them, and their callers get an answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pixyproxy.domain.generation import PartialImage
from tests.fixtures.http_app import HttpApp, RawResponse, http_app, log_lines

JSON = [(b"content-type", b"application/json")]


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        opened.generator.gate = asyncio.Event()
        yield opened


async def interrupted(
    app: HttpApp, path: str, accept: bytes = b"*/*", **body: Any
) -> tuple[RawResponse, str, list[str]]:
    """Cancel a POST once its generation runs; return the response, the GUID of its image and the log."""
    messages = [{"type": "http.request", "body": json.dumps({"prompt": "a duck", **body}).encode()}]
    fields = [*JSON, (b"accept", accept)]
    hanging = asyncio.Event()

    async def never() -> None:
        await hanging.wait()

    with log_lines() as lines:
        task = asyncio.create_task(app.raw("POST", path, headers=fields, messages=messages, then=never))
        while not app.generator.requests:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        response = await task
    [guid] = app.container.memory_storage().images
    return response, guid, lines


async def test_a_caller_who_waits_gets_the_guid_in_a_problem(app: HttpApp) -> None:
    response, guid, lines = await interrupted(app, "/image")
    body = json.loads(response.body)
    assert (response.status, body["code"], body["guid"]) == (503, "service-stopped", guid)
    assert "may have been paid for" in body["detail"]
    assert "new Idempotency-Key" in body["detail"]
    assert response.header("content-type") == "application/problem+json"
    assert response.header("x-should-retry") == "false"
    assert not any("Traceback" in line or "CancelledError" in line for line in lines)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_below_v1_gets_it_in_the_envelope_of_openai(app: HttpApp, stream: bool) -> None:
    response, guid, lines = await interrupted(app, "/v1/images/generations", stream=stream)
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"], error["guid"]) == (503, "service-stopped", guid)
    assert response.header("x-should-retry") == "false"
    assert not any("Traceback" in line or "CancelledError" in line for line in lines)


async def test_a_stream_that_has_begun_ends_in_an_event(app: HttpApp) -> None:
    app.generator.partials = (PartialImage(b"early", 0),)
    response, guid, lines = await interrupted(app, "/v1/images/generations", stream=True)
    assert response.status == 200
    assert response.complete
    *_, last = response.body.decode().strip().split("\n\n")
    event, data = last.split("\n")
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["guid"] == guid
    assert not any("Traceback" in line or "CancelledError" in line for line in lines)


async def test_events_of_a_picture_end_in_the_problem(app: HttpApp) -> None:
    response, guid, _ = await interrupted(app, "/image", accept=b"text/event-stream")
    assert (response.status, response.complete) == (200, True)
    first, last = response.body.decode().strip().split("\n\n")
    assert first.startswith("event: image\n")
    event, data = last.split("\n")
    problem = json.loads(data.removeprefix("data: "))
    assert (event, problem["code"], problem["guid"]) == ("event: error", "service-stopped", guid)


async def test_a_request_that_begins_nothing_may_be_repeated(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(app.container.image_service(), "search", wait)
    task = asyncio.create_task(app.raw("GET", "/image"))
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    response = await task
    body = json.loads(response.body)
    assert (response.status, body["code"]) == (503, "service-stopped")
    assert "guid" not in body
    assert int(response.header("retry-after")) >= 1
    assert not any(name == b"x-should-retry" for name, _ in response.headers)


async def test_a_response_that_is_on_its_way_is_cut(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.generator.gate is not None
    app.generator.gate.set()
    detail = await app.create()
    taken = RawResponse.take

    def take(response: RawResponse, message: Any) -> None:
        if message["type"] == "http.response.body":
            raise asyncio.CancelledError
        taken(response, message)

    monkeypatch.setattr(RawResponse, "take", take)
    with log_lines() as lines:
        response = await app.raw("GET", detail["content_url"])
    assert (response.status, response.complete) == (200, False)
    assert any("response cut short: the service stops" in line for line in lines)
