"""Several workers on one port: signals to the supervisor and to its group, workers that die, and one that hangs."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from pixyproxy.entrypoints.http.supervisor import PING_TIMEOUT_S
from tests.faults.databases import NAMES
from tests.faults.deployment import Deployment, create, new_deployment, wait_until
from tests.fixtures.service import COMMAND, Service, problem

WORKERS = 2
GENERATIONS = "/v1/images/generations"


@pytest.fixture
def sqlite_world(tmp_path: Path) -> Iterator[Deployment]:
    with new_deployment(tmp_path, "sqlite", PIXYPROXY_WORKERS=str(WORKERS)) as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.slow)])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    with new_deployment(tmp_path, request.param, PIXYPROXY_WORKERS=str(WORKERS)) as made:
        yield made


class StartedAsByAShell(Service):
    """A service whose workers are spawned, with signals and pipes as they are outside of tests."""

    command = (*COMMAND, "serve")


def workers_of(service: Service) -> dict[int, str]:
    """Return the process id and lease name of every worker started so far."""
    return {int(pid): name for pid, name in re.findall(r"worker (\d+) serves as (\S+)", service.log)}


def wait_for_workers(service: Service, count: int = WORKERS) -> list[int]:
    """Wait until that many workers serve, and return their process ids."""
    wait_until(lambda: service.log.count("Application startup complete") >= count, f"{count} workers serve")
    return list(workers_of(service))


@contextmanager
def client_of(service: Service, pid: int) -> Iterator[httpx.Client]:
    """Return a client that is connected to this worker."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with service.client() as client:
            # A request id ends in the id of its thread, and that of the main thread is the id of the process.
            if int(client.get("/healthz").headers["x-request-id"].rpartition("-")[2]) == pid:
                yield client
                return
    raise AssertionError(f"worker {pid} accepts no connection")


def test_both_workers_serve_under_names_of_their_own(any_world: Deployment) -> None:
    with any_world.service() as service:
        assert "workers     2\n" in service.announced
        assert service.announced.count("address") == 1
        pids = wait_for_workers(service)
        names = workers_of(service)
        assert len(set(names.values())) == len(pids) == WORKERS
        assert service.pid not in names
        ids = set()
        for pid in pids:
            with client_of(service, pid) as client:
                image = create(client, f"from {pid}")
                ids.add(image.headers["x-request-id"])
                assert image.status_code == 200
                assert all(f"[{pid}]" in line for line in service.log_of(image))
        assert len(ids) == WORKERS
        with service.client() as client:
            assert {image["prompt"] for image in client.get("/image").json()} == {f"from {pid}" for pid in pids}


@pytest.mark.parametrize("any_world", NAMES, indirect=True)
def test_two_workers_pay_once_for_an_idempotency_key(any_world: Deployment) -> None:
    any_world.upstream.defaults[GENERATIONS] = "ok delay=1"
    with any_world.service() as service, ThreadPoolExecutor(WORKERS) as pool, ExitStack() as stack:
        clients = [stack.enter_context(client_of(service, pid)) for pid in wait_for_workers(service)]
        futures = [pool.submit(create, client, "the same", "the-same") for client in clients]
        responses = [future.result() for future in futures]
        assert [response.status_code for response in responses] == [200] * WORKERS
        assert len({response.json()["guid"] for response in responses}) == 1
    assert any_world.charges() == {"the same": 1}


def check_draining(deployment: Deployment, stop: Callable[[Service], None], kind: type[Service] = Service) -> None:
    """Stop a service while each worker runs a generation, and check that all are stored and returned."""
    deployment.upstream.defaults[GENERATIONS] = "ok delay=3"
    with deployment.service(kind) as service, ThreadPoolExecutor(WORKERS) as pool, ExitStack() as stack:
        probe = stack.enter_context(service.client())
        clients = [stack.enter_context(client_of(service, pid)) for pid in wait_for_workers(service)]
        futures = [pool.submit(create, client, f"in flight {n}") for n, client in enumerate(clients)]
        deployment.wait_for_generations(WORKERS)
        stop(service)
        wait_until(lambda: probe.get("/readyz").status_code == 503, "a worker is not ready")
        refused = create(probe, "too late")
        assert (refused.status_code, problem(refused)["code"]) == (503, "capacity-exceeded")
        assert [future.result().status_code for future in futures] == [200] * WORKERS
        assert service.wait() == 0
        assert service.log.count("draining: no generation") == WORKERS
        assert "Traceback" not in service.log
    prompts = [f"in flight {n}" for n in range(WORKERS)]
    assert deployment.charges() == dict.fromkeys(prompts, 1)
    assert deployment.statuses() == {prompt: ["ready"] for prompt in prompts}


def test_sigterm_drains_all_workers_on_each_database(any_world: Deployment) -> None:
    check_draining(any_world, lambda service: service.signal(signal.SIGTERM))


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)),
    ],
)
def test_a_signal_to_the_process_group_counts_once(sqlite_world: Deployment, number: int) -> None:
    check_draining(sqlite_world, lambda service: service.signal_group(number), StartedAsByAShell)


def test_a_signal_that_a_parent_passes_on_counts_once(sqlite_world: Deployment) -> None:
    def stop(service: Service) -> None:
        service.signal_group(signal.SIGUSR1)
        service.signal_group(signal.SIGTERM)
        time.sleep(0.05)
        service.signal(signal.SIGTERM)

    check_draining(sqlite_world, stop)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_single_process_drains_at_other_signals_too(tmp_path: Path, number: int) -> None:
    with new_deployment(tmp_path, "sqlite") as deployment:
        deployment.upstream.defaults[GENERATIONS] = "ok delay=2"
        with deployment.service() as service, service.client() as client, ThreadPoolExecutor(1) as pool:
            future = pool.submit(create, client, "in flight")
            deployment.wait_for_generations(1)
            for ignored in (signal.SIGUSR1, signal.SIGUSR2):
                service.signal(ignored)
            service.signal(number)
            assert future.result().status_code == 200
            assert service.wait() == 0
        assert deployment.statuses() == {"in flight": ["ready"]}


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_second_signal_ends_the_service_at_once(tmp_path: Path, workers: int) -> None:
    path, ways = "/v1/images/generations", 3
    with new_deployment(tmp_path, "sqlite", PIXYPROXY_WORKERS=str(workers)) as deployment:
        deployment.upstream.script(*["hang"] * ways)
        with ThreadPoolExecutor(ways) as pool:
            service = deployment.service()
            service.start()
            with service.client() as client, service.client() as probe:
                requested = [
                    pool.submit(create, client, "hanging"),
                    pool.submit(client.post, path, json={"prompt": "hanging in v1"}),
                    pool.submit(client.post, path, json={"prompt": "hanging in a stream", "stream": True}),
                ]
                deployment.wait_for_generations(ways)
                service.signal(signal.SIGTERM)
                wait_until(lambda: "draining: no generation" in service.log, "the service drains")
                time.sleep(1)
                assert probe.get("/healthz").status_code == 200
                service.signal(signal.SIGTERM)
                start = time.monotonic()
                assert service.wait() == 0
                # At once, not after the 330 s that generations have for ending.
                assert time.monotonic() - start < 20
                answers = [future.result() for future in requested]
        assert [answer.status_code for answer in answers] == [503] * ways
        assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
        guids = {problem(answers[0])["guid"], *(answer.json()["error"]["guid"] for answer in answers[1:])}
        assert len(guids) == ways
        assert "Traceback" not in service.log
        assert "CancelledError" not in service.log


def test_a_killed_worker_is_replaced_and_its_generation_becomes_unknown(any_world: Deployment) -> None:
    any_world.upstream.script("hang")
    with any_world.service() as service, ThreadPoolExecutor(1) as pool:
        victim, survivor = wait_for_workers(service)
        with client_of(service, victim) as client, client_of(service, survivor) as other:

            def ask() -> None:
                with suppress(httpx.TransportError):
                    create(client, "interrupted")

            pool.submit(ask)
            any_world.wait_for_generations(1)
            os.kill(victim, signal.SIGKILL)
            [_, _, replacement] = wait_for_workers(service, WORKERS + 1)
            assert replacement not in {victim, survivor}
            wait_until(lambda: any_world.statuses() == {"interrupted": ["unknown"]}, "the lease has run out")
            assert create(other, "afterwards").status_code == 200
            with client_of(service, replacement) as third:
                assert create(third, "by the replacement").status_code == 200
    assert any_world.charges().keys() <= {"interrupted", "afterwards", "by the replacement"}


def test_workers_without_their_supervisor_drain_and_end(sqlite_world: Deployment) -> None:
    sqlite_world.upstream.defaults[GENERATIONS] = "ok delay=3"
    service = sqlite_world.service(StartedAsByAShell)
    service.start()
    pids = wait_for_workers(service)
    with client_of(service, pids[0]) as client, ThreadPoolExecutor(1) as pool:
        future = pool.submit(create, client, "in flight")
        sqlite_world.wait_for_generations(1)
        service.signal(signal.SIGKILL)
        assert future.result().status_code == 200
    wait_until(lambda: service.log.count("Finished server process") == WORKERS, "both workers have ended")
    assert service.wait() == -signal.SIGKILL
    assert sqlite_world.statuses() == {"in flight": ["ready"]}


PING_TIMEOUT_OF_TEST_S = 10
SUPERVISOR = f"""
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.http.server import bind
from pixyproxy.entrypoints.http.supervisor import Supervisor
from pixyproxy.environment import load_settings

settings = load_settings()
listener = bind(settings.host, settings.port)
logs.configure("INFO")
print("  address     http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
Supervisor(settings, listener, ping_timeout_s={PING_TIMEOUT_OF_TEST_S}).run()
"""


class ImpatientService(Service):
    """A service whose supervisor waits only a few seconds for the response to a ping."""

    command = (sys.executable, "-c", SUPERVISOR)


def test_a_stopped_worker_is_killed_after_the_ping_timeout_and_not_before(tmp_path: Path) -> None:
    with ImpatientService(tmp_path, PIXYPROXY_WORKERS="2") as service:
        pids = wait_for_workers(service)
        os.kill(pids[0], signal.SIGSTOP)
        time.sleep(PING_TIMEOUT_OF_TEST_S / 2)
        os.kill(pids[0], signal.SIGCONT)
        with client_of(service, pids[0]):
            pass
        time.sleep(1)
        os.kill(pids[0], signal.SIGSTOP)
        start = time.monotonic()
        [*_, replacement] = wait_for_workers(service, WORKERS + 1)
        assert time.monotonic() - start >= PING_TIMEOUT_OF_TEST_S - 1
        assert f"worker {pids[0]} answers no ping" in service.log
        assert len(workers_of(service)) == WORKERS + 1
        with client_of(service, replacement):
            pass


def test_a_worker_may_be_silent_for_a_minute() -> None:
    assert PING_TIMEOUT_S >= 60
