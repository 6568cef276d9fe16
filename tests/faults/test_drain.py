"""Draining: a stopping service starts nothing, finishes generations in flight, and does not wait for ever."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.databases import NAMES
from tests.faults.deployment import Deployment, content_hash, create, new_deployment, wait_until
from tests.fixtures.service import lasting, pixyproxy, problem

IN_FLIGHT = 4


@pytest.fixture(params=NAMES)
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with new_deployment(tmp_path, request.param) as made:
        yield made


def test_a_draining_service_finishes_generations_and_begins_none(deployment: Deployment) -> None:
    deployment.upstream.defaults["/v1/images/generations"] = "ok delay=4"
    with deployment.service() as service, ThreadPoolExecutor(IN_FLIGHT) as pool, service.client() as client:
        requested = [pool.submit(create, client, f"in flight {number}") for number in range(IN_FLIGHT)]
        deployment.wait_for_generations(IN_FLIGHT)
        service.signal(signal.SIGTERM)
        wait_until(lambda: client.get("/readyz").status_code == 503, "it says that it is not ready")
        ready = client.get("/readyz")
        assert ready.json() == {"status": "unavailable", "database": "ok", "blob_store": "ok", "generator": "draining"}
        assert int(ready.headers["Retry-After"]) >= 1
        for headers in ({}, {"Idempotency-Key": "too-late"}, {"Prefer": "respond-async"}):
            refused = client.post("/image", json={"prompt": "too late"}, headers=headers)
            assert refused.status_code == 503
            assert problem(refused)["code"] == "capacity-exceeded"
        assert client.get("/healthz").status_code == 200
        answers = [future.result() for future in requested]
        assert [answer.status_code for answer in answers] == [200] * IN_FLIGHT
        assert service.wait() == 0
    prompts = [f"in flight {number}" for number in range(IN_FLIGHT)]
    assert deployment.charges() == dict.fromkeys(prompts, 1)
    assert deployment.statuses() == {key: ["ready"] for key in prompts}
    with deployment.service() as again, again.client() as client:
        for answer in answers:
            image = answer.json()
            assert lasting(client.get(f"/image/{image['guid']}").json()) == lasting(image)
            assert content_hash(client, image) == image["sha256"]


def test_a_repeat_joins_its_generation_while_the_service_drains(deployment: Deployment) -> None:
    deployment.upstream.defaults["/v1/images/generations"] = "ok delay=3"
    with deployment.service() as service, ThreadPoolExecutor(2) as pool, service.client() as client:
        first = pool.submit(create, client, "the same", "the-same")
        deployment.wait_for_generations(1)
        service.signal(signal.SIGTERM)
        wait_until(lambda: client.get("/readyz").status_code == 503, "it says that it is not ready")
        second = pool.submit(create, client, "the same", "the-same")
        assert (first.result().status_code, second.result().status_code) == (200, 200)
        assert lasting(first.result().json()) == lasting(second.result().json())
        assert service.wait() == 0
    assert deployment.charges() == {"the same": 1}


def test_draining_ends_at_its_deadline_and_the_rows_are_settled_later(deployment: Deployment) -> None:
    deployment.upstream.script("hang", "hang")

    with (
        deployment.service(PIXYPROXY_DRAIN_S="0.5") as service,
        service.client() as client,
        ThreadPoolExecutor(2) as pool,
    ):
        requested = [pool.submit(create, client, f"hanging {number}", f"hanging-{number}") for number in range(2)]
        deployment.wait_for_generations(2)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        answers = [future.result() for future in requested]
        assert [problem(answer)["code"] for answer in answers] == ["service-stopped"] * 2
        assert len({problem(answer)["guid"] for answer in answers}) == 2
        assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
        assert "Traceback" not in service.log
    wait_until(lambda: all(record.ended for record in deployment.upstream.generations), "the upstream is left alone")
    prompts = ["hanging 0", "hanging 1"]
    expected = {key: ["unknown"] for key in prompts}

    def reconciled() -> bool:
        done = pixyproxy(deployment.folder, "reconcile", "--apply", **deployment.values)
        assert done.returncode == 0, done.stderr
        return deployment.statuses() == expected

    wait_until(reconciled, "the leases have ended")
    assert pixyproxy(deployment.folder, "reconcile", **deployment.values).stdout == "nothing to reconcile\n"
    with deployment.service() as again, again.client() as client:
        answer = create(client, "hanging 0", "hanging-0")
        assert answer.status_code == 502
        # One outcome if the process could still record the interruption, the other if not.
        assert problem(answer)["code"] in {"generator-connection-lost", "generation-interrupted"}
        assert answer.headers["Idempotent-Replayed"] == "true"
    assert deployment.charges() == dict.fromkeys(prompts, 1)
