"""The database stops and restarts under a running service: nothing hangs and nothing is paid."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Deadline, Service, lasting, problem
from tests.fixtures.services import ALICE
from tests.fixtures.sql.mysql_servers import PrivateMariaDB, fresh_database

pytestmark = pytest.mark.mysql

# Five seconds are promised; the rest allows for a busy machine. A hang takes longer.
NO_HANG_S = 8


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateMariaDB]:
    with PrivateMariaDB() as running:
        yield running


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def service(
    server: PrivateMariaDB, upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with fresh_database(server.settings) as database:
        settings = {
            "PIXYPROXY_REPOSITORY": "mysql",
            "PIXYPROXY_GENERATOR": "openai",
            "OPENAI_API_KEY": "sk-test-012345",
        }
        folder = tmp_path_factory.mktemp("outage")
        with Service(folder, **settings, **database.environment(), OPENAI_BASE_URL=upstream.base_url) as running:
            running.add_user(*ALICE)
            yield running


def promptly(client: httpx.Client, method: str, path: str, **extra: Any) -> httpx.Response:
    began = time.monotonic()
    response = client.request(method, path, **extra)
    assert time.monotonic() - began < NO_HANG_S, f"{method} {path} hung"
    return response


def is_away(response: httpx.Response) -> None:
    found = problem(response)
    assert (found["status"], found["code"]) == (503, "database-unavailable")
    assert int(response.headers["retry-after"]) >= 1
    for secret in ("127.0.0.1", "root", "SELECT", "pixyproxy_test", "pymysql"):
        assert secret not in response.text


def works(service: Service, client: httpx.Client) -> dict[str, Any]:
    response = client.post("/image", json={"prompt": "a duck"})
    assert response.status_code == 200, response.text
    detail: dict[str, Any] = response.json()
    assert lasting(client.get(f"/image/{detail['guid']}").json()) == lasting(detail)
    assert [lasting(one) for one in client.get("/image?limit=1").json()] == [lasting(detail)]
    assert client.get(detail["content_url"]).status_code == 200
    assert client.get("/readyz").json()["database"] == "ok"
    return detail


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_requests_during_an_outage_of_the_database(
    end: str, server: PrivateMariaDB, service: Service, upstream: FakeUpstream
) -> None:
    with service.client(ALICE) as alice, service.client() as anybody:
        detail = works(service, alice)
        paid, requests_before = len(upstream.charges), len(upstream.requests)
        getattr(server, end)()
        try:
            for client in (anybody, alice):
                for path in (f"/image/{detail['guid']}", detail["content_url"], "/image", "/image?prompt=duck"):
                    is_away(promptly(client, "GET", path))
            is_away(promptly(alice, "GET", "/user/me"))
            is_away(promptly(alice, "POST", "/image", json={"prompt": "a duck"}))
            is_away(promptly(alice, "PATCH", f"/image/{detail['guid']}", json={"tags": []}))
            is_away(promptly(alice, "DELETE", f"/image/{detail['guid']}"))
            assert promptly(anybody, "GET", "/healthz").json() == {"status": "ok"}
            ready = promptly(anybody, "GET", "/readyz")
            assert ready.status_code == 503
            assert ready.json() == {
                "status": "unavailable", "database": "database-unavailable", "blob_store": "ok", "generator": "ok"
            }  # fmt: skip
            assert int(ready.headers["retry-after"]) >= 1
            assert (len(upstream.charges), len(upstream.requests)) == (paid, requests_before)
        finally:
            server.start()
        assert lasting(alice.get(f"/image/{detail['guid']}").json()) == lasting(detail)
        assert works(service, alice)["guid"] != detail["guid"]
        assert len(upstream.charges) == paid + 1


def test_a_picture_generated_during_an_outage_is_not_lost(
    server: PrivateMariaDB, service: Service, upstream: FakeUpstream
) -> None:
    requests_before, paid = len(upstream.requests), len(upstream.charges)
    upstream.script("ok delay=2")
    responses: list[httpx.Response] = []

    def create() -> None:
        with service.client(ALICE) as client:
            responses.append(client.post("/image", json={"prompt": "a duck made during an outage"}))

    thread = threading.Thread(target=create)
    thread.start()
    upstream.wait_for(requests_before + 1)
    server.kill()
    try:
        thread.join()
        found = problem(responses[0])
        assert (found["status"], found["code"]) == (503, "database-unavailable")
        assert len(upstream.charges) == paid + 1
        assert any(found["guid"] in file.name for file in service.files())
    finally:
        server.start()
    deadline = Deadline("the row of the image can be read")
    with service.client(ALICE) as client:
        while (response := client.get(f"/image/{found['guid']}")).status_code != 200:
            deadline.wait()
        assert response.json()["status"] in {"generating", "ready"}


def test_all_connections_of_the_pool_recover_at_once(server: PrivateMariaDB, service: Service) -> None:
    server.restart()
    with service.client() as client:
        assert [client.get("/image").status_code for _ in range(8)] == [200] * 8
