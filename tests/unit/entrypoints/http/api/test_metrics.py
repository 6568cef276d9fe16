"""The metrics over HTTP: who may read them, and the requests that they count."""

import asyncio
from datetime import timedelta

from pixyproxy.domain.errors import GeneratorRequestError
from pixyproxy.domain.user import Role
from tests.fixtures.http_app import ALICE, MISSING, basic, http_app
from tests.fixtures.prometheus import samples


async def test_open_metrics_are_for_everybody() -> None:
    async with http_app(PIXYPROXY_METRICS="open", PIXYPROXY_ANONYMOUS="none") as app:
        response = await app.client.get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert "pixyproxy_database_available 1.0" in response.text


async def test_by_default_metrics_need_an_admin() -> None:
    async with http_app() as app:
        assert (await app.client.get("/metrics")).status_code == 401
        for role, status in ((Role.TEACHER, 403), (Role.ADMIN, 200), (Role.STUDENT, 403)):
            await app.container.user_service().change_role("alice", role)
            response = await app.client.get("/metrics", auth=basic(ALICE))
            assert (response.status_code, "pixyproxy_" in response.text) == (status, status == 200)


async def test_metrics_that_are_off_are_not_found() -> None:
    async with http_app(PIXYPROXY_METRICS="off") as app:
        assert (await app.client.get("/metrics")).status_code == 404


async def test_requests_count_by_route() -> None:
    async with http_app(PIXYPROXY_METRICS="open") as app:
        for path in (f"/image/{MISSING}", f"/image/{MISSING}/", "/image", "/nowhere", "/elsewhere"):
            await app.client.get(path)
        await app.client.head("/image")
        await app.client.request("BREW", "/image")
        found = samples((await app.client.get("/metrics")).text)
        assert {name: value for name, value in found.items() if "requests" in name} == {
            'pixyproxy_requests_total{method="GET",route="/image/{guid}",status="404"}': 2,
            'pixyproxy_requests_total{method="GET",route="/image",status="200"}': 2,
            'pixyproxy_requests_total{method="other",route="other",status="404"}': 2,
            'pixyproxy_requests_total{method="other",route="other",status="405"}': 1,
        }


async def test_generations_count() -> None:
    async with http_app(PIXYPROXY_METRICS="open") as app:
        await app.create()
        app.generator.outcome = GeneratorRequestError("No.")
        assert (await app.client.post("/image", json={"prompt": "x"})).status_code >= 400
        found = samples((await app.client.get("/metrics")).text)
        name = app.generator.name
        assert found[f'pixyproxy_upstream_seconds_count{{upstream="{name}"}}'] == 2
        outcomes = {key: value for key, value in found.items() if key.startswith("pixyproxy_generations_total")}
        assert sorted(outcomes.values()) == [1, 1]
        assert {key.partition('outcome="')[2].partition('"')[0] for key in outcomes} == {"ready", "failed"}
        assert found["pixyproxy_calls_in_flight"] == 0
        assert found["pixyproxy_images"] == 1
        assert found["pixyproxy_stored_bytes"] == found["pixyproxy_written_bytes_total"] > 0


async def test_what_waits_for_its_turn_is_shown_and_its_wait_counted() -> None:
    async with http_app(PIXYPROXY_METRICS="open", PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        later = {"Prefer": "respond-async"}
        first, second = [
            (await app.client.post("/image", json={"prompt": prompt}, headers=later)).headers["location"]
            for prompt in ("a duck", "another duck")
        ]
        found = samples((await app.client.get("/metrics")).text)
        assert (found["pixyproxy_calls_in_flight"], found["pixyproxy_queued"]) == (1, 1)
        assert found["pixyproxy_reservations"] == 2
        app.container.clock().advance(timedelta(seconds=50))
        app.generator.gate.set()
        for path in (first, second):
            while (await app.client.get(path)).json()["status"] != "ready":
                await asyncio.sleep(0.01)
        found = samples((await app.client.get("/metrics")).text)
        bucket = 'pixyproxy_queue_wait_seconds_bucket{{le="{}",upstream="scripted"}}'
        waits = {le: found[bucket.format(le)] for le in (30.0, 120.0)}
        assert waits == {30.0: 1, 120.0: 2}
