"""Waiting for a turn over HTTP: sync, async and as a stream; cancelled, refused, and at the end of the service."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.domain.errors import BlobMissingError, DBConnectionError, GeneratorQuotaError, GeneratorRateLimitedError
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Status
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app

ASYNC = {"Prefer": "respond-async"}
V1 = "/v1/images/generations"


@pytest.fixture
async def busy() -> AsyncIterator[HttpApp]:
    """Yield an application with one place, which a call holds until its gate opens."""
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        assert (await post(app, "the first duck", headers=ASYNC)).json()["status"] == "generating"
        yield app
        app.generator.gate.set()
        await app.container.generation_runner().drain(60)


async def post(
    app: HttpApp, prompt: str = "a duck", path: str = "/image", auth: Any = ALICE, headers: Any = None, **fields: Any
) -> httpx.Response:
    return await app.client.post(
        path, json={"prompt": prompt, **fields}, headers=headers, auth=basic(auth) or httpx.USE_CLIENT_DEFAULT
    )


async def details(app: HttpApp, guid: str, auth: Any = ALICE) -> dict[str, Any]:
    answer = await app.client.get(f"/image/{guid}", auth=basic(auth) or httpx.USE_CLIENT_DEFAULT)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ready(app: HttpApp, guid: str) -> dict[str, Any]:
    while (found := await details(app, guid))["status"] in {"queued", "generating"}:
        await asyncio.sleep(0.01)
    return found


def open_gate(app: HttpApp) -> None:
    assert app.generator.gate is not None
    app.generator.gate.set()


async def until_queued(app: HttpApp, pictures: int) -> None:
    while app.container.turns().waiting < pictures:
        await asyncio.sleep(0.001)


async def test_an_async_call_returns_its_place(busy: HttpApp) -> None:
    second = await post(busy, "the second duck", auth=BOB, headers=ASYNC)
    assert second.status_code == 202
    assert (second.json()["status"], second.json()["queue"]) == ("queued", {"position": 1, "eta_s": None})
    assert second.json()["cost"] is None
    third = await post(busy, "the third duck", auth=None, headers=ASYNC)
    assert third.json()["queue"]["position"] == 2
    found = await details(busy, third.json()["guid"], auth=None)
    assert found["queue"]["position"] == 2
    listed = await busy.client.get("/image", params={"status": "queued"}, auth=basic(BOB))
    assert [one["queue"]["position"] for one in listed.json()] == [1]
    content = await busy.client.get(f"/image/{third.json()['guid']}/content")
    assert (content.status_code, content.headers["retry-after"]) == (409, "5")
    open_gate(busy)
    assert (await ready(busy, third.json()["guid"]))["queue"] is None
    assert [request.prompt for request in busy.generator.requests] == [
        "the first duck",
        "the second duck",
        "the third duck",
    ]


async def test_a_place_that_cannot_be_read_is_left_out(busy: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: int) -> int:
        raise DBConnectionError("The database did not answer in time.")

    monkeypatch.setattr(busy.container.maintenance_repository(), "queued_before", fail)
    monkeypatch.setattr(busy.container.generation_runner(), "place_here", lambda guid: None)  # another process has it
    second = await post(busy, "the second duck", auth=BOB, headers=ASYNC)
    assert (second.status_code, second.json()["status"], second.json()["queue"]) == (202, "queued", None)


async def test_a_sync_caller_waits(busy: HttpApp) -> None:
    waits = [asyncio.create_task(post(busy, "another duck", path, auth=BOB)) for path in ("/image", V1)]
    await until_queued(busy, 2)
    open_gate(busy)
    assert [(await answer).status_code for answer in waits] == [200, 200]


async def test_a_stream_says_its_place(busy: HttpApp) -> None:
    answer = asyncio.create_task(post(busy, "a streamed duck", V1, auth=BOB, stream=True))
    await until_queued(busy, 1)
    await asyncio.sleep(1.3)
    open_gate(busy)
    text = (await answer).text
    assert text.startswith(": queued 1\n\n"), text[:80]
    assert json.loads(text.rpartition("data: ")[2])["type"] == "image_generation.completed"


async def test_deleting_a_queued_image_cancels_its_whole_call(busy: HttpApp) -> None:
    waiting = asyncio.create_task(post(busy, "three ducks", V1, n=3))
    await until_queued(busy, 3)
    rows = [image for image in busy.container.memory_storage().images.values() if image.status is Status.QUEUED]
    denied = await busy.client.delete(f"/image/{rows[1].guid}", auth=basic(BOB))
    assert denied.status_code == 403
    deleted = await busy.client.delete(f"/image/{rows[1].guid}", auth=basic(ALICE))
    assert deleted.status_code == 204
    assert (await waiting).status_code == 404
    for row in rows:
        assert (await busy.client.get(f"/image/{row.guid}")).status_code == 404
    open_gate(busy)
    assert len(busy.generator.requests) == 1
    assert busy.container.turns().waiting == 0


QUEUED = {"status": "queued"}


async def test_a_queued_image_is_cancelled_on_the_condition_that_it_is_queued(busy: HttpApp) -> None:
    waiting = asyncio.create_task(post(busy, "three ducks", V1, n=3))
    await until_queued(busy, 3)
    storage = busy.container.memory_storage()
    rows = [image.guid for image in storage.images.values() if image.status is Status.QUEUED]
    denied = await busy.client.delete(f"/image/{rows[1]}", params=QUEUED, auth=basic(BOB))
    assert (denied.status_code, len(storage.images)) == (403, 4)
    cancelled = await busy.client.delete(f"/image/{rows[1]}", params=QUEUED, auth=basic(ALICE))
    assert (cancelled.status_code, cancelled.content) == (204, b"")
    assert (await waiting).status_code == 404
    assert not storage.images.keys() & set(rows)
    again = await busy.client.delete(f"/image/{rows[1]}", params=QUEUED, auth=basic(ALICE))
    assert again.status_code == 404
    open_gate(busy)
    assert len(busy.generator.requests) == 1


async def test_a_call_that_started_meanwhile_is_not_cancelled(busy: HttpApp) -> None:
    queued = (await post(busy, "a duck", headers=ASYNC)).json()
    path = f"/image/{queued['guid']}"
    repository = busy.container.image_repository()
    cancel = repository.cancel

    async def cancel_late(guid: str) -> tuple[str, ...]:
        """Cancel after the turn of the call has come, which the service could not see when it looked."""
        open_gate(busy)
        await ready(busy, guid)
        return await cancel(guid)

    repository.cancel = cancel_late
    refused = await busy.client.delete(path, params=QUEUED, auth=basic(ALICE))
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["guid"]) == (409, "image-not-queued", queued["guid"])
    assert "is ready, not queued: nothing was cancelled or deleted" in problem["detail"]
    assert "retry-after" not in refused.headers
    assert (await details(busy, queued["guid"]))["status"] == "ready"
    content = await busy.client.get(f"{path}/content", auth=basic(ALICE))
    assert (content.status_code, content.content) == (200, PNG)
    assert (await busy.client.delete(path, auth=basic(ALICE))).status_code == 204


@pytest.mark.parametrize(
    "query", ["status=ready", "status=", "status=QUEUED", "status=queued&status=queued", "stat=queued"]
)
async def test_any_other_condition_of_a_deletion_is_refused(busy: HttpApp, query: str) -> None:
    path = f"/image/{(await post(busy, 'a duck', headers=ASYNC)).json()['guid']}"
    refused = await busy.client.delete(f"{path}?{query}", auth=basic(ALICE))
    assert (refused.status_code, refused.json()["code"]) == (422, "validation-failed")
    assert [error["loc"] for error in refused.json()["errors"]] == [[query.partition("=")[0]]]
    assert (await busy.client.get(path, auth=basic(ALICE))).json()["status"] == "queued"
    assert (await busy.client.delete(f"{path}?{query}")).status_code == 401


async def test_a_row_deleted_by_hand_waits_no_longer(busy: HttpApp) -> None:
    waiting = asyncio.create_task(post(busy, "a duck that is deleted"))
    await until_queued(busy, 1)
    await asyncio.sleep(0.01)
    storage = busy.container.memory_storage()
    guid = list(storage.images)[-1]
    del storage.images[guid]
    await busy.container.generation_runner().maintain()
    answer = await waiting
    assert (answer.status_code, "nothing was paid" in answer.json()["detail"]) == (404, True)


async def test_repeats_join_a_queued_call(busy: HttpApp) -> None:
    key = {"Idempotency-Key": "one"}
    first = await post(busy, "a duck", headers=key | ASYNC)
    again = await post(busy, "a duck", headers=key | ASYNC)
    assert (again.json()["guid"], again.headers["idempotent-replayed"]) == (first.json()["guid"], "true")
    assert (again.json()["status"], again.json()["queue"]) == ("queued", {"position": 1, "eta_s": None})
    joined = asyncio.create_task(post(busy, "a duck", headers=key))
    await asyncio.sleep(0.01)
    open_gate(busy)
    assert (await joined).json()["guid"] == first.json()["guid"]
    assert len(busy.generator.requests) == 2


async def test_a_queued_image_cannot_be_changed(busy: HttpApp) -> None:
    queued = (await post(busy, "a duck", headers=ASYNC)).json()
    answer = await busy.client.patch(f"/image/{queued['guid']}", json={"tags": ["duck"]}, auth=basic(ALICE))
    assert (answer.status_code, answer.json()["code"]) == (409, "image-not-ready")


async def test_personal_options_reach_the_generator_and_no_one_else(busy: HttpApp) -> None:
    queued = asyncio.create_task(post(busy, "a duck", V1, user="student-17", size="1024x1024"))
    await until_queued(busy, 1)
    await asyncio.sleep(0.01)
    storage = busy.container.memory_storage()
    [call] = storage.queued_calls.values()
    assert dict(call.personal) == {"user": "student-17"}
    open_gate(busy)
    assert (await queued).status_code == 200
    assert storage.queued_calls == {}
    assert busy.generator.requests[-1].options == {"user": "student-17", "size": "1024x1024"}
    assert "student-17" not in (await busy.client.get("/image")).text


async def test_edit_sources_are_kept_until_the_end(busy: HttpApp) -> None:
    answer = asyncio.create_task(
        busy.client.post(
            "/v1/images/edits",
            data={"prompt": "a duck"},
            files={"image": ("duck.png", PNG, "image/png"), "mask": ("mask.png", PNG, "image/png")},
            auth=basic(ALICE),
        )
    )
    await until_queued(busy, 1)
    await asyncio.sleep(0.01)
    [call] = busy.container.memory_storage().queued_calls.values()
    stored = [*call.images, *call.attachments.values()]
    for source in stored:
        async with await busy.blobs.read(source.guid, size=source.size_bytes) as reader:
            assert b"".join([piece async for piece in reader]) == PNG
    open_gate(busy)
    assert (await answer).status_code == 200
    for source in stored:
        with pytest.raises(BlobMissingError):
            await busy.blobs.read(source.guid, size=source.size_bytes)


async def test_a_rate_limit_is_no_callers_error() -> None:
    async with http_app(PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.outcome = GeneratorRateLimitedError("slow down", retry_after_s=0.2)
        answer = asyncio.create_task(post(app, "a duck"))
        while not app.generator.requests:
            await asyncio.sleep(0.001)
        await until_queued(app, 1)
        await asyncio.sleep(0.01)
        [image] = app.container.memory_storage().images.values()
        assert image.status is Status.QUEUED
        app.generator.outcome = GeneratedImage(PNG)
        response = await answer
        assert (response.status_code, response.json()["status"]) == (200, "ready")
        assert len(app.generator.requests) == 2


async def test_exhausted_quota_never_waits() -> None:
    async with http_app(PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.outcome = GeneratorQuotaError("no credit")
        response = await post(app, "a duck")
        assert (response.status_code, response.json()["code"]) == (502, "generator-quota-exhausted")


async def test_a_rate_limit_longer_than_the_queue_is_429_and_unpaid() -> None:
    async with http_app(PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.outcome = GeneratorRateLimitedError("slow down", retry_after_s=61)
        response = await post(app, "a duck")
        assert (response.status_code, response.headers["retry-after"]) == (429, "61")
        assert response.json()["code"] == "generator-rate-limited"
        [image] = app.container.memory_storage().images.values()
        assert image.status is Status.FAILED


async def test_a_turn_that_does_not_come_is_503_and_unpaid() -> None:
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=0.05) as app:
        app.generator.gate = asyncio.Event()
        await post(app, "the first duck", headers=ASYNC)
        response = await post(app, "the second duck", auth=BOB)
        assert (response.status_code, response.json()["code"]) == (503, "queue-timeout")
        assert response.headers["retry-after"] == "60"
        assert (await details(app, response.json()["guid"]))["status"] == "failed"
        open_gate(app)


async def test_more_than_may_wait_is_503_and_leaves_no_trace() -> None:
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_LENGTH=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        for auth in (ALICE, BOB):
            assert (await post(app, "a duck", auth=auth, headers=ASYNC)).status_code == 202
        response = await post(app, "a duck", auth=None)
        assert (response.status_code, response.json()["code"]) == (503, "capacity-exceeded")
        assert response.headers["retry-after"]
        assert len(app.container.memory_storage().images) == 2
        open_gate(app)


@pytest.mark.parametrize(("path", "status"), [(V1, 400)])
async def test_more_pictures_than_a_minute_allows_are_refused_at_once(path: str, status: int) -> None:
    async with http_app(PIXYPROXY_IMAGES_PER_MINUTE=3) as app:
        response = await post(app, "four ducks", path, n=4)
        assert response.status_code == status
        assert "at most 3" in response.text
        assert app.container.memory_storage().images == {}
        assert (await post(app, "three ducks", path, n=3)).status_code == 200


async def test_the_end_of_the_service_sends_waiting_callers_away_and_leaves_their_rows(busy: HttpApp) -> None:
    waiting = asyncio.create_task(post(busy, "a patient duck"))
    await until_queued(busy, 1)
    await asyncio.sleep(0.01)
    runner = busy.container.generation_runner()
    runner.begin_drain(60)
    response = await waiting
    assert (response.status_code, response.json()["code"]) == (503, "service-stopped")
    assert "the same request joins it" in response.json()["detail"]
    guid = response.json()["guid"]
    storage = busy.container.memory_storage()
    assert storage.images[guid].status is Status.QUEUED
    open_gate(busy)
    assert await runner.drain(60) == 0
    assert guid not in storage.leases
    assert storage.callers_left[guid]
    assert len(busy.generator.requests) == 1
