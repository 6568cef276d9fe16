"""Clients that hang up during a request: a generation that has begun is finished, stored and charged once."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.databases import NAMES
from tests.faults.deployment import Deployment, content_hash, create, new_deployment, wait_until
from tests.fixtures.service import Service, lasting

MOMENTS = 20
GENERATION_S = 0.5
STEP_S = 0.04
"""Seconds between two clients that leave; the last ones leave while their picture is stored or later."""


@pytest.fixture(params=NAMES)
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with new_deployment(tmp_path, request.param) as made:
        made.upstream.defaults["/v1/images/generations"] = f"ok delay={GENERATION_S}"
        yield made


def test_a_client_that_hangs_up_at_any_moment_finds_the_picture_later(deployment: Deployment) -> None:
    with deployment.service() as service:

        def leave(number: int) -> None:
            prompt = f"abort-{number}"
            with _connection(service) as client:
                client.sendall(_request(prompt, key=prompt if number % 2 else None))
                wait_until(lambda: prompt in _asked(deployment), f"{prompt} reached the upstream")
                time.sleep(number * STEP_S)
                if number % 4 < 2:
                    _reset(client)

        _all_at_once(leave, MOMENTS)
        prompts = [f"abort-{number}" for number in range(MOMENTS)]
        wait_until(lambda: deployment.statuses() == {key: ["ready"] for key in prompts}, "all are ready")
        assert deployment.charges() == dict.fromkeys(prompts, 1)
        with service.client() as client:
            stored = {image["prompt"]: image for image in client.get("/image?limit=200").json()}
            for number, prompt in enumerate(prompts):
                assert content_hash(client, stored[prompt]) == stored[prompt]["sha256"]
                if number % 2:
                    answer = create(client, prompt, key=prompt)
                    assert answer.status_code == 200
                    assert answer.headers["Idempotent-Replayed"] == "true"
                    assert lasting(answer.json()) == lasting(stored[prompt])
        assert deployment.charges() == dict.fromkeys(prompts, 1)


def test_a_client_that_hangs_up_early_begins_nothing_or_all_of_it(deployment: Deployment) -> None:
    """A request whose sender hung up is processed entirely or not at all."""
    parts: list[Callable[[bytes], bytes]] = [
        lambda request: request,
        lambda request: request[:-1],
        lambda request: request[: request.index(b"\r\n\r\n") + 4],
        lambda request: request[:30],
        lambda request: b"",
    ]
    with deployment.service() as service:

        def leave(number: int) -> None:
            with _connection(service) as client:
                client.sendall(parts[number // 2](_request(f"early {number}", key=f"early-{number}")))
                if number % 2:
                    _reset(client)

        _all_at_once(leave, 2 * len(parts))
        with service.client() as client:
            assert create(client, "somebody who stays").status_code == 200
        wait_until(lambda: "generating" not in str(deployment.statuses()), "everything has come to its end")
        assert deployment.charges() == dict.fromkeys(deployment.statuses(), 1)
        assert all(statuses == ["ready"] for statuses in deployment.statuses().values())
        assert set(deployment.statuses()) <= {"early 0", "early 1", "somebody who stays"}


def test_an_abandoned_poll_or_download_harms_nothing(deployment: Deployment) -> None:
    deployment.upstream.defaults["/v1/images/generations"] = "ok size=4000000"
    with deployment.service() as service, service.client() as client:
        image = create(client, "a large one").json()
        for pause_s in (0, 0.001, 0.005, 0.02):
            with _connection(service) as leaving:
                leaving.sendall(f"GET {image['content_url']} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
                time.sleep(pause_s)
                _reset(leaving)
        assert content_hash(client, image) == image["sha256"]
        assert client.get("/readyz").status_code == 200


def _asked(deployment: Deployment) -> set[str]:
    return {record.json["prompt"] for record in deployment.upstream.generations}


def _request(prompt: str, key: str | None) -> bytes:
    body = json.dumps({"prompt": prompt}).encode()
    lines = ["POST /image HTTP/1.1", "Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if key is not None:
        lines.append(f"Idempotency-Key: {key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _connection(service: Service) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def _reset(client: socket.socket) -> None:
    """Make closing reset the connection."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _all_at_once(function: Callable[[int], None], count: int) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            function(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
