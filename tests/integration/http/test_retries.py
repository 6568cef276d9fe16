"""Retries and slow generations as documented, on both databases."""

import concurrent.futures
import uuid

import httpx
import pytest

from tests.fixtures.service import Deadline, Service, lasting, problem
from tests.fixtures.services import ALICE, BOB


def keyed(client: httpx.Client, key: str, **body: object) -> httpx.Response:
    return client.post("/image", json={"prompt": "a duck", "size": "32x32", **body}, headers={"Idempotency-Key": key})


def new_key() -> str:
    return uuid.uuid4().hex


def test_a_repeat_returns_the_same_image(service: Service) -> None:
    key = new_key()
    with service.client() as client:
        first, second = keyed(client, key), keyed(client, key)
    assert (first.status_code, second.status_code) == (200, 200)
    assert lasting(first.json()) == lasting(second.json())
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]


def test_concurrent_requests_with_one_key_get_one_image(service: Service) -> None:
    key = new_key()
    with service.client() as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: keyed(client, key), range(16)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["guid"] for response in responses}) == 1
    assert sum("idempotent-replayed" not in response.headers for response in responses) == 1


def test_another_body_with_the_same_key_is_refused(service: Service) -> None:
    key = new_key()
    with service.client() as client:
        assert keyed(client, key).status_code == 200
        refused = keyed(client, key, tags=["other"])
    assert (refused.status_code, problem(refused)["code"]) == (422, "idempotency-key-reused")


def test_a_key_is_scoped_to_its_caller(service: Service) -> None:
    key, guids = new_key(), set()
    for auth in (ALICE, BOB, None):
        with service.client(auth) as client:
            guids.add(keyed(client, key).json()["guid"])
    assert len(guids) == 3


def test_a_refusal_is_replayed(service: Service) -> None:
    key = new_key()
    with service.client() as client:
        first, second = keyed(client, key, size="enormous"), keyed(client, key, size="enormous")
    assert (first.status_code, second.status_code) == (422, 422)
    assert {**problem(first), "request_id": ""} == {**problem(second), "request_id": ""}
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_a_malformed_key_is_refused(service: Service, key: str) -> None:
    with service.client() as client:
        response = keyed(client, key)
    assert response.status_code == 422
    assert problem(response)["errors"][0]["loc"] == ["Idempotency-Key"]


def test_two_keys_are_refused(service: Service) -> None:
    with service.client() as client:
        headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        response = client.post("/image", json={"prompt": "a duck"}, headers=headers)
    assert (response.status_code, problem(response)["errors"][0]["msg"]) == (422, "must be given once only")


@pytest.mark.parametrize("preference", ["respond-async", "wait=10, Respond-Async", "respond-async; x=1"])
def test_a_client_that_does_not_wait_gets_the_address_to_poll(service: Service, preference: str) -> None:
    key = new_key()
    with service.client() as client:
        headers = {"Prefer": preference, "Idempotency-Key": key}
        response = client.post("/image", json={"prompt": "a duck", "size": "2048x2048"}, headers=headers)
        assert response.status_code == 202
        assert response.headers["preference-applied"] == "respond-async"
        assert int(response.headers["retry-after"]) >= 1
        detail = response.json()
        assert (detail["status"], detail["size_bytes"]) == ("generating", None)
        location, deadline = response.headers["location"], Deadline("the image was ready")
        while client.get(location).json()["status"] == "generating":
            deadline.wait()
        ready = client.get(location).json()
        assert ready["status"] == "ready"
        assert client.get(ready["content_url"]).status_code == 200
        again = client.post("/image", json={"prompt": "a duck", "size": "2048x2048"}, headers=headers)
        assert (again.status_code, lasting(again.json())) == (200, lasting(ready))
        assert again.headers["idempotent-replayed"] == "true"


def test_other_preferences_are_ignored(service: Service) -> None:
    with service.client() as client:
        response = client.post("/image", json={"prompt": "a duck", "size": "32x32"}, headers={"Prefer": "wait=1"})
    assert response.status_code == 200
    assert "preference-applied" not in response.headers
