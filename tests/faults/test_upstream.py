"""Faults of the upstream through the whole service: the right status, at most one charge, and the right replay.

What may have been paid for, or would be answered alike again, is replayed; what failed before anything was
paid gives its key back, and the repeat gets a picture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.deployment import Deployment, content_hash, create, new_deployment, wait_until
from tests.fixtures.openai.upstream import GENERATIONS
from tests.fixtures.service import Service, problem

REJECTED = (422, "prompt-rejected", "failed")
REFUSED = (422, "generator-request-rejected", "failed")
UNAVAILABLE = (502, "generator-unavailable", "failed")
CREDENTIALS = (502, "generator-credentials", "failed")
QUOTA = (502, "generator-quota-exhausted", "failed")
LOST = (502, "generator-connection-lost", "unknown")
LATE = (504, "generator-timeout", "unknown")
NONSENSE = (502, "generator-answer", "unknown")

REPLAYED: dict[str, tuple[int, str, str]] = {
    "moderation": REJECTED,
    "content-policy": REJECTED,
    "400": REFUSED,
    "413": REFUSED,
    "422": REFUSED,
    "error-echo": REFUSED,
    "reset-before-headers": LOST,
    "close-before-headers": LOST,
    "cut-headers": LOST,
    "garbage": LOST,
    "reset-mid-body": LOST,
    "hang": LATE,
    "hang-mid-body": LATE,
    "trickle": LATE,
    "504": LATE,
    "408": LATE,
    "error status=502 body=bad_gateway content_type=text/html": LOST,
    "error-cut": LOST,
    "html": NONSENSE,
    "not-json": NONSENSE,
    "truncated-json": NONSENSE,
    "deep-json": NONSENSE,
    "empty-body": NONSENSE,
    "json-array": NONSENSE,
    "no-data": NONSENSE,
    "empty-data": NONSENSE,
    "null-b64": NONSENSE,
    "malformed-b64": NONSENSE,
    "not-a-picture": NONSENSE,
    "url at=empty": NONSENSE,
}
"""From behaviour of the upstream to status, code and status of the row; the key is kept."""

TRIED_AGAIN: dict[str, tuple[int, str, str]] = {
    "401": CREDENTIALS,
    "403": CREDENTIALS,
    "404-model": UNAVAILABLE,
    "405": UNAVAILABLE,
    "409": UNAVAILABLE,
    "quota": QUOTA,
    "402": QUOTA,
    "billing-limit": QUOTA,
    "500": UNAVAILABLE,
    "503": UNAVAILABLE,
    "error-in-200": UNAVAILABLE,
    "redirect": UNAVAILABLE,
}
"""The same for faults that free the key."""

FAULTS = REPLAYED | TRIED_AGAIN


class Running(NamedTuple):
    deployment: Deployment
    service: Service


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("upstream")
    with (
        new_deployment(folder, "sqlite", PIXYPROXY_GENERATION_TIMEOUT_S="2") as deployment,
        deployment.service() as service,
    ):
        yield Running(deployment, service)


def test_there_are_at_least_forty() -> None:
    assert len(FAULTS) >= 40


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_status_and_is_charged_once_at_most(running: Running, fault: str) -> None:
    status, code, recorded = FAULTS[fault]
    prompt = f"meets {fault.split()[0]}"
    deployment = running.deployment
    with running.service.client() as client:
        deployment.upstream.script(fault)
        first = create(client, prompt, "key-" + fault.split()[0])
        assert (first.status_code, problem(first)["code"]) == (status, code), first.text
        assert "Idempotent-Replayed" not in first.headers
        guid = problem(first)["guid"]
        assert deployment.statuses()[prompt] == [recorded]
        row = client.get(f"/image/{guid}").json()
        assert (row["status"], row["error"]["code"]) == (recorded, code)
        assert client.get(f"/image/{guid}/content").status_code == 409
        again = create(client, prompt, "key-" + fault.split()[0])
        requested = [record for record in deployment.upstream.generations if record.json["prompt"] == prompt]
        if fault in REPLAYED:
            assert again.headers["Idempotent-Replayed"] == "true"
            told, anew = problem(first), problem(again)
            assert told | {"request_id": 0} == anew | {"request_id": 0}
            assert len(requested) == 1
        else:
            assert again.status_code == 200, again.text
            assert content_hash(client, again.json()) == again.json()["sha256"]
            assert deployment.statuses()[prompt] == [recorded, "ready"]
            assert len(requested) == 2
        assert deployment.charges()[prompt] <= 1
        another = client.post(
            "/image", json={"prompt": "other"}, headers={"Idempotency-Key": "key-" + fault.split()[0]}
        )
        assert (another.status_code, problem(another)["code"]) == (422, "idempotency-key-reused")


def test_a_rate_limit_is_waited_for_and_charged_once(running: Running) -> None:
    deployment = running.deployment
    with running.service.client() as client:
        deployment.upstream.script("429 retry_after=1")
        answer = create(client, "refused once", "refused-once")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        assert deployment.statuses()["refused once"] == ["ready"]
        assert len([one for one in deployment.upstream.generations if one.json["prompt"] == "refused once"]) == 2
        assert deployment.charges()["refused once"] == 1


def test_an_unreachable_upstream_frees_the_key(running: Running) -> None:
    running.deployment.upstream.stop()
    with running.service.client() as client:
        try:
            refused = create(client, "out of reach", "out-of-reach")
            assert (refused.status_code, problem(refused)["code"]) == (502, "generator-unavailable")
        finally:
            running.deployment.upstream.start()
        again = create(client, "out of reach", "out-of-reach")
        assert again.status_code == 200
    assert running.deployment.charges()["out of reach"] == 1
    assert running.deployment.statuses()["out of reach"] == ["failed", "ready"]


@pytest.mark.parametrize("fault", ["reset-mid-body", "moderation", "hang", "not-a-picture"])
def test_an_asynchronous_request_has_the_same_outcome(running: Running, fault: str) -> None:
    _, code, recorded = FAULTS[fault]
    prompt = f"asynchronously {fault}"
    with running.service.client() as client:
        running.deployment.upstream.script(fault)
        begun = create(client, prompt, f"async-{fault}", Prefer="respond-async")
        assert begun.status_code == 202
        where = begun.headers["Location"]
        wait_until(lambda: client.get(where).json()["status"] != "generating", "it has come to its end")
        assert (client.get(where).json()["status"], client.get(where).json()["error"]["code"]) == (recorded, code)
        again = create(client, prompt, f"async-{fault}")
        assert (problem(again)["code"], again.headers["Idempotent-Replayed"]) == (code, "true")
    assert running.deployment.charges()[prompt] <= 1


def test_bytes_that_are_no_picture_are_kept(running: Running) -> None:
    with running.service.client() as client:
        running.deployment.upstream.script("not-a-picture")
        guid = problem(create(client, "no picture"))["guid"]
    kept = running.deployment.folder / "images" / "aside"
    assert [path.read_bytes() for path in kept.glob(f"{guid}.*.bin")] == [b"these bytes are no picture"]


def test_nothing_is_left_over(running: Running) -> None:
    """Check at the end: every script was used, every row is settled, every charge has a row."""
    deployment = running.deployment
    assert not deployment.upstream._scripts[GENERATIONS]
    assert "generating" not in str(deployment.statuses())
    assert all(count == 1 for count in deployment.charges().values())
    assert set(deployment.charges()) <= set(deployment.statuses())
