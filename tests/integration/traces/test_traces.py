"""Traces of a running service, as a collector receives them over HTTP."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.test_workers import client_of, wait_for_workers
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Deadline, Service, pixyproxy
from tests.fixtures.traces import Collector, ReceivedSpan

ALICE = ("alice", "pässword: 密語")
KEY = "sk-upstream-secret"
PROMPT = "a capybara in a teacup"
SECRETS = ("capybara", "teacup", "alice", "ssword", KEY)
INTERNAL, SERVER, CLIENT = 1, 2, 3
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as running:
        yield running


def on_openai(upstream: FakeUpstream) -> dict[str, str]:
    return {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": upstream.base_url}


def exporting_to(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **OFTEN}


def named(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    [span] = [span for span in spans if span.name == name]
    return span


def have_ended(*names: str) -> Callable[[list[ReceivedSpan]], bool]:
    return lambda spans: set(names) <= {span.name for span in spans}


def test_a_generation_is_one_trace(collector: Collector, upstream: FakeUpstream, tmp_path: Path) -> None:
    with Service(tmp_path, **on_openai(upstream), **exporting_to(collector)) as service:
        service.add_user(*ALICE)
        with service.client(ALICE) as client:
            fields = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=opaque", "baggage": "user=alice"}
            response = client.post("/image", json={"prompt": PROMPT, "model": "duck-2"}, headers=fields)
            assert response.status_code == 200, response.text
        spans = collector.wait_for(have_ended("POST /image", "generation"))
    assert collector.paths == {"/v1/traces"}
    spans = [span for span in spans if span.trace == TRACE]
    request, generation = named(spans, "POST /image"), named(spans, "generation")
    call, put = named(spans, "generate_content duck-2"), named(spans, "blobs.put")
    assert (request.kind, request.parent) == (SERVER, PARENT)
    assert request.attributes | {"server.port": 0} == {
        "http.request.method": "POST",
        "http.route": "/image",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": 0,
        "pixyproxy.request_id": response.headers["x-request-id"],
    }
    assert (generation.parent, generation.attributes) == (request.id, {"pixyproxy.guid": response.json()["guid"]})
    assert call.kind == CLIENT
    assert call.attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "openai",
        "gen_ai.output.type": "image",
        "gen_ai.request.model": "duck-2",
        "gen_ai.response.model": "duck-2",
        "gen_ai.usage.input_tokens": call.attributes["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": call.attributes["gen_ai.usage.output_tokens"],
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
    }
    assert put.attributes == {"pixyproxy.blob_store": "filesystem"}
    steps = [span for span in spans if "db.system.name" in span.attributes]
    assert {"users.get", "images.add_batch", "images.mark_ready"} <= {span.name for span in steps}
    assert {(span.kind, span.attributes["db.system.name"]) for span in steps} == {(CLIENT, "sqlite")}
    for name in ("queue.join", "images.add_batch", "images.mark_ready", "generate_content duck-2", "blobs.put"):
        assert named(spans, name).parent == generation.id
    assert call.end_ns <= put.start_ns
    assert not any(span.is_error for span in spans)
    assert all(span.resource["service.name"] == "pixyproxy" for span in spans)
    assert upstream.generations[0].headers["traceparent"].startswith(f"00-{TRACE}-{call.id}-")
    assert not {"tracestate", "baggage"} & set(upstream.generations[0].headers)
    assert not [secret for secret in SECRETS for body in collector.bodies if secret.encode() in body]


def test_a_call_that_waits_for_its_turn_shows_its_wait(
    collector: Collector, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.script("ok delay=0.5")
    values = {"PIXYPROXY_MAX_GENERATIONS": "1", "PIXYPROXY_ANONYMOUS": "write"}
    with Service(tmp_path, **on_openai(upstream), **exporting_to(collector), **values) as service:
        with service.client() as client, ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(client.post, "/image", json={"prompt": f"{PROMPT} {n}"}) for n in range(2)]
            assert {call.result().status_code for call in calls} == {200}
        spans = collector.wait_for(lambda spans: [span.name for span in spans].count("generation") == 2)
    wait = named(spans, "queue.wait")
    [generation] = [span for span in spans if span.id == wait.parent]
    assert generation.name == "generation"
    made = sorted((span for span in spans if span.name.startswith("generate_content")), key=lambda span: span.start_ns)
    assert made[1].parent == generation.id
    assert wait.end_ns <= made[1].start_ns


def test_a_generation_whose_caller_hung_up_goes_on_in_its_trace(
    collector: Collector, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.script("ok delay=0.3")
    with Service(tmp_path, **on_openai(upstream), **exporting_to(collector), PIXYPROXY_ANONYMOUS="write") as service:
        with service.client() as client:
            response = client.post("/image", json={"prompt": PROMPT}, headers={"Prefer": "respond-async"})
            assert response.status_code == 202
        spans = collector.wait_for(have_ended("generation"))
    request, generation = named(spans, "POST /image"), named(spans, "generation")
    assert generation.parent == request.id
    assert generation.end_ns > request.end_ns
    assert named(spans, "blobs.put").trace == request.trace


def test_errors_of_the_upstream_are_named_without_their_words(
    collector: Collector, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.script("moderation")
    with Service(tmp_path, **on_openai(upstream), **exporting_to(collector), PIXYPROXY_ANONYMOUS="write") as service:
        with service.client() as client:
            assert client.post("/image", json={"prompt": PROMPT}).status_code == 422
        spans = collector.wait_for(have_ended("POST /image"))
    for name in ("generate_content gpt-image-2", "generation"):
        span = named(spans, name)
        assert (span.is_error, span.attributes["error.type"]) == (True, "PromptRejectedError")
    assert not named(spans, "POST /image").is_error


def test_no_request_shows_its_path_or_its_query(collector: Collector, tmp_path: Path) -> None:
    with Service(tmp_path, **exporting_to(collector)) as service:
        service.add_user(*ALICE, role="admin")
        with service.client(ALICE) as client:
            image = client.post("/image", json={"prompt": PROMPT}).json()
            assert client.get(image["content_url"]).status_code == 200
            assert len(client.get("/image", params={"prompt": "capybara", "author": "alice"}).json()) == 1
            assert client.get("/", params={"prompt": "capybara"}).status_code == 200
            assert client.post("/user", json={"username": "alice-2", "password": "pässword: 密語"}).status_code == 201
            assert client.patch("/user/alice-2", json={"paused": True}).status_code == 200
            assert client.put("/budget/user:alice", json={"cap_usd": "1.00", "per": "day"}).status_code in {200, 201}
            assert client.get("/a/teacup?with=capybara").status_code == 404
            assert client.delete("/image").status_code == 405
            for probe in ("/healthz", "/readyz"):
                assert client.get(probe).status_code == 200
        spans = collector.wait_for(have_ended("DELETE /image"))
    requests = {span.name for span in spans if span.kind == SERVER}
    assert requests == {
        "POST /image",
        "GET /image/{guid}/content/{name}",
        "GET /image",
        "GET /",
        "POST /user",
        "PATCH /user/{name}",
        "PUT /budget/{scope}",
        "GET",
        "DELETE /image",
    }
    roots = {span.name for span in spans if not span.parent}
    assert roots == requests
    assert not [secret for secret in SECRETS for body in collector.bodies if secret.encode() in body]


def test_a_collector_that_is_away_costs_no_request_and_few_lines(tmp_path: Path) -> None:
    with Collector() as collector:
        pass
    values = {**exporting_to(collector), "OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    with Service(tmp_path, **values, OTEL_EXPORTER_OTLP_TIMEOUT="3") as service, service.client() as client:
        for _ in range(20):
            assert client.post("/image", json={"prompt": PROMPT}).status_code == 200
        deadline = Deadline("the outage was logged")
        while "traces cannot be exported" not in service.log:
            deadline.wait()
        for _ in range(20):
            assert client.get("/image").status_code == 200
        with collector:
            deadline = Deadline("the end of the outage was logged")
            while "traces are exported again" not in service.log:
                assert client.get("/image").status_code == 200
                deadline.wait()
    lines = [line for line in service.log.splitlines() if "REQUEST" not in line and ("trace" in line or "span" in line)]
    # Stopping, the collector is away once more.
    assert 2 <= len([line for line in lines if "WARNING" in line or "ERROR" in line]) <= 4, lines
    assert "Connection refused" in lines[0]


def test_a_silent_collector_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        values = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with Service(tmp_path, **values, OTEL_EXPORTER_OTLP_TIMEOUT="60") as service, service.client() as client:
            assert client.get("/image").status_code == 200
            began = time.monotonic()
            service.stop()
            assert time.monotonic() - began < 30


def test_spans_are_exported_at_the_end(collector: Collector, tmp_path: Path) -> None:
    values = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with Service(tmp_path, **values) as service, service.client() as client:
        assert client.post("/image", json={"prompt": PROMPT}).status_code == 200
        assert collector.spans() == []
    assert {"POST /image", "generation", "blobs.put"} <= {span.name for span in collector.spans()}


def test_every_worker_exports_its_spans(collector: Collector, tmp_path: Path) -> None:
    with Service(tmp_path, **exporting_to(collector), PIXYPROXY_WORKERS="2") as service:
        workers = wait_for_workers(service)
        for pid in workers:
            with client_of(service, pid) as client:
                assert client.post("/image", json={"prompt": f"{PROMPT} {pid}"}).status_code == 200
        spans = collector.wait_for(lambda spans: [span.name for span in spans].count("POST /image") == 2)
    requests = [span for span in spans if span.name == "POST /image"]
    assert len({span.resource["service.instance.id"] for span in requests}) == 2
    assert len({span.trace for span in requests}) == 2


def test_the_file_of_settings_may_hold_the_variables_of_opentelemetry(collector: Collector, tmp_path: Path) -> None:
    lines = [f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.url}", "OTEL_SERVICE_NAME=pictures", "OTEL_BSP_SCHEDULE_DELAY=50"]
    (tmp_path / ".env").write_text("\n".join(lines))
    with Service(tmp_path) as service, service.client() as client:
        assert client.get("/image").status_code == 200
        span = named(collector.wait_for(have_ended("GET /image")), "GET /image")
    assert span.resource["service.name"] == "pictures"


def test_spans_may_go_to_standard_output(tmp_path: Path) -> None:
    done = pixyproxy(tmp_path, "generate", PROMPT, OTEL_TRACES_EXPORTER="console")
    assert done.returncode == 0, done.stderr
    assert '"name": "generate_content' in done.stdout
    assert "capybara" not in done.stdout.partition("{")[2]


def test_without_the_extra_the_start_names_the_command(tmp_path: Path) -> None:
    """The SDK is hidden by a package that cannot be imported."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry.sdk'] = sys.modules['opentelemetry.exporter'] = None\n"
    )
    values = {"PYTHONPATH": str(hidden)}
    done = pixyproxy(tmp_path, "serve", **values, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert (done.returncode, done.stdout) == (2, "")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: needs OpenTelemetry's SDK: run `pip install 'pixyproxy[otel]'`" in done.stderr
    assert done.stderr.count("\n") == 1
    with Service(tmp_path, **values) as service, service.client() as client:
        assert client.get("/image").status_code == 200


def test_a_variable_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    values = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}
    done = pixyproxy(tmp_path, "serve", **values)
    assert (done.returncode, done.stdout) == (2, "")
    assert "OTEL_EXPORTER_OTLP_…: OpenTelemetry cannot be set up: max_queue_size must be" in done.stderr
