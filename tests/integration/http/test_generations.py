"""The service with an upstream behind a real socket: success, every main failure, and callers that hang up."""

import socket
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.fixtures.openai.upstream import FakeUpstream, RefusingPort
from tests.fixtures.service import Deadline, Service, lasting, problem
from tests.fixtures.services import ALICE

KEY = "sk-test-0123456789abcdef"
PROMPT = "velvet words of a prompt"
SETTINGS = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": KEY, "PIXYPROXY_GENERATION_TIMEOUT_S": "2"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def service(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("openai"), **SETTINGS, OPENAI_BASE_URL=upstream.base_url) as running:
        running.add_user(*ALICE)
        yield running


@pytest.fixture(autouse=True)
def _no_secret_anywhere(service: Service) -> Iterator[None]:
    yield
    assert KEY not in service.log
    assert "velvet" not in service.log


def create(service: Service, **fields: Any) -> httpx.Response:
    """Create an image with a prompt of its own: one that is repeated might join an uncertain predecessor."""
    with service.client(ALICE) as client:
        response = client.post("/image", json={"prompt": f"{PROMPT} {uuid.uuid4()}"} | fields)
        assert KEY not in response.text
        return response


def test_a_picture_is_generated_paid_once_and_delivered(service: Service, upstream: FakeUpstream) -> None:
    paid = len(upstream.charges)
    upstream.script("ok size=100000 revised=a_velvet_duck")
    detail = create(
        service, prompt=PROMPT, size="1024x1024", quality="low", background="opaque", output_format="png"
    ).json()
    assert len(upstream.charges) == paid + 1
    sent = upstream.generations[-1].json
    options = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
    assert {name: sent[name] for name in ("prompt", "model", *options)} == {
        "prompt": PROMPT,
        "model": "gpt-image-2",
    } | options
    assert (detail["status"], detail["generator"], detail["model"]) == ("ready", "openai", "gpt-image-2")
    assert (detail["parameters"], detail["revised_prompt"]) == (options, "a_velvet_duck")
    assert detail["usage"]["total_tokens"] == 1068
    with service.client() as client:
        content = client.get(detail["content_url"])
        assert len(content.content) == detail["size_bytes"]
        assert lasting(client.get(f"/image/{detail['guid']}").json()) == lasting(detail)


def test_an_anonymous_caller_spends_no_money(service: Service, upstream: FakeUpstream) -> None:
    requests_before = len(upstream.requests)
    with service.client() as client:
        assert problem(client.post("/image", json={"prompt": PROMPT}))["status"] == 401
        assert client.get("/image").status_code == 200
    assert len(upstream.requests) == requests_before


class Failure(NamedTuple):
    spec: str
    status: int
    code: str
    charges: int = 0
    state: str = "failed"
    retry_after: str | None = None
    words: str = ""
    model: str | None = None


FAILURES = (
    Failure("moderation", 422, "prompt-rejected", words="safety system"),
    Failure("content-policy", 422, "prompt-rejected", words="safety system"),
    Failure("400", 422, "generator-request-rejected", words="Invalid value: 'huge'"),
    Failure("401", 502, "generator-credentials"),
    Failure("403", 502, "generator-credentials"),
    Failure("404-model", 502, "generator-unavailable"),
    Failure("404-model", 422, "generator-request-rejected", words="'gone'", model="gone"),
    Failure("429 retry_after=1999", 429, "generator-rate-limited", retry_after="1999", model="limited"),
    Failure("quota", 502, "generator-quota-exhausted"),
    Failure("billing-limit", 502, "generator-quota-exhausted"),
    Failure("500", 502, "generator-unavailable"),
    Failure("503", 502, "generator-unavailable"),
    Failure("redirect", 502, "generator-unavailable"),
    Failure("reset-before-headers", 502, "generator-connection-lost", charges=1, state="unknown"),
    Failure("reset-mid-body", 502, "generator-connection-lost", charges=1, state="unknown"),
    Failure("hang", 504, "generator-timeout", charges=1, state="unknown"),
    Failure("hang-mid-body", 504, "generator-timeout", charges=1, state="unknown"),
)


@pytest.mark.parametrize(
    "failure", FAILURES, ids=[f"{failure.spec}{' requested' * bool(failure.model)}" for failure in FAILURES]
)
def test_each_upstream_failure_has_its_status(failure: Failure, service: Service, upstream: FakeUpstream) -> None:
    paid = len(upstream.charges)
    upstream.script(failure.spec)
    response = create(service, **({"model": failure.model} if failure.model else {}))
    found = problem(response)
    assert (found["status"], found["code"]) == (failure.status, failure.code), found
    assert failure.words in found["detail"]
    if failure.retry_after:
        assert response.headers["retry-after"] == failure.retry_after
    assert len(upstream.charges) - paid == failure.charges <= 1
    with service.client(ALICE) as client:
        recorded = client.get(f"/image/{found['guid']}").json()
        assert (recorded["status"], recorded["error"]["code"]) == (failure.state, failure.code)
        assert recorded["sha256"] is None
        content = client.get(recorded["content_url"])
        assert (problem(content)["code"], "retry-after" in content.headers) == ("image-not-ready", True)
        listed = client.get("/image", params={"status": failure.state, "guid": found["guid"]}).json()
        assert [detail["guid"] for detail in listed] == [found["guid"]]
        assert client.get("/image", params={"guid": found["guid"]}).json() == []
    assert "Traceback" not in service.log


@pytest.mark.parametrize("spec", ["short-length", "cut-chunked"])
def test_a_picture_that_is_whole_in_a_broken_response_is_kept(
    spec: str, service: Service, upstream: FakeUpstream
) -> None:
    paid = len(upstream.charges)
    upstream.script(spec)
    assert create(service).json()["status"] == "ready"
    assert len(upstream.charges) == paid + 1


@pytest.mark.parametrize(
    "spec", ["error status=200 content_type=text/html body=<html>no</html>", "error status=200 body={}"]
)
def test_paid_bytes_that_are_no_picture_are_rescued(spec: str, service: Service, upstream: FakeUpstream) -> None:
    before = {file for file in service.files() if "aside" in str(file)}
    upstream.script(spec)
    found = problem(create(service))
    assert (found["status"], found["code"]) == (502, "generator-answer")
    kept = {file for file in service.files() if "aside" in str(file)} - before
    assert any(found["guid"] in file.name for file in kept)


def test_a_rate_limit_that_passes_soon_is_waited_for(service: Service, upstream: FakeUpstream) -> None:
    paid = len(upstream.charges)
    upstream.script("429 retry_after_ms=10", "ok")
    assert create(service).status_code == 200
    assert len(upstream.charges) == paid + 1


def test_a_refused_connection_is_502(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        RefusingPort() as nowhere,
        Service(tmp_path_factory.mktemp("refused"), **SETTINGS, OPENAI_BASE_URL=nowhere) as service,
    ):
        service.add_user(*ALICE)
        found = problem(create(service))
        assert (found["status"], found["code"]) == (502, "generator-unavailable")
        assert nowhere not in str(found)
        with service.client() as client:
            assert client.get("/healthz").status_code == 200
            not_ready = client.get("/readyz")
            assert (not_ready.status_code, not_ready.json()["generator"][:21]) == (503, "generator-unavailable")


def hang_up_during(service: Service, upstream: FakeUpstream, spec: str) -> None:
    """Send a creation and close the connection as soon as it has reached the upstream."""
    requests_before = len(upstream.requests)
    upstream.script(spec)
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    token = httpx.BasicAuth(*(part.encode() for part in ALICE))._auth_header
    body = b'{"prompt": "velvet: hung up"}'
    head = f"POST /image HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        upstream.wait_for(requests_before + 1)


def test_a_caller_that_hangs_up_does_not_stop_its_generation(service: Service, upstream: FakeUpstream) -> None:
    paid, ends = len(upstream.charges), service.log.count("REQUEST END POST /image ")
    hang_up_during(service, upstream, "ok delay=1")
    deadline = Deadline("the image of the caller that hung up is there")
    with service.client(ALICE) as client:
        while not (found := client.get("/image", params={"prompt": "hung up"}).json()):
            deadline.wait()
        assert len(client.get(found[0]["content_url"]).content) == found[0]["size_bytes"]
    assert len(upstream.charges) == paid + 1
    while service.log.count("REQUEST END POST /image ") == ends:
        deadline.wait()
    [line] = [line for line in service.log.splitlines() if "REQUEST END POST /image " in line][ends:]
    id_ = line.split()[3]
    assert sum(f" {id_} " in line and "REQUEST" in line for line in service.log.splitlines()) == 2


def test_a_generation_beyond_the_capacity_is_refused_unpaid(
    upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = SETTINGS | {
        "PIXYPROXY_MAX_GENERATIONS": "1",
        "PIXYPROXY_QUEUE_LENGTH": "0",
        "PIXYPROXY_GENERATION_TIMEOUT_S": "30",
    }
    with Service(tmp_path_factory.mktemp("one"), **settings, OPENAI_BASE_URL=upstream.base_url) as service:
        service.add_user(*ALICE)
        paid = len(upstream.charges)
        hang_up_during(service, upstream, "ok delay=1")
        found = problem(create(service))
        assert (found["status"], found["code"]) == (503, "capacity-exceeded")
        assert len(upstream.charges) == paid + 1


def test_a_stopping_service_finishes_paid_generations(
    upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = SETTINGS | {"PIXYPROXY_GENERATION_TIMEOUT_S": "30", "OPENAI_BASE_URL": upstream.base_url}
    service = Service(tmp_path_factory.mktemp("drain"), **settings)
    service.start()
    service.add_user(*ALICE)
    paid = len(upstream.charges)
    hang_up_during(service, upstream, "ok delay=1")
    service.signal()
    assert service.wait() == 0
    assert "Traceback" not in service.log
    assert len(upstream.charges) == paid + 1
    with service, service.client(ALICE) as client:
        [detail] = client.get("/image").json()
        assert client.get(detail["content_url"]).status_code == 200


def test_a_service_that_may_not_drain_logs_unfinished_generations(
    upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = SETTINGS | {"PIXYPROXY_GENERATION_TIMEOUT_S": "30", "PIXYPROXY_DRAIN_S": "0.2"}
    service = Service(tmp_path_factory.mktemp("hurry"), **settings, OPENAI_BASE_URL=upstream.base_url)
    service.start()
    service.add_user(*ALICE)
    hang_up_during(service, upstream, "hang")
    service.signal()
    assert service.wait() == 0
    assert "1 generations are still in flight at the end of the drain" in service.log
