"""More connections than open files: pictures that were paid for are stored, and nothing is paid for twice."""

import resource
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import PATIENCE_S, Deadline, Service

OPEN_FILES = 256
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class FewFiles(Service):
    """A service that may have few files open."""

    command = ("sh", "-c", f'ulimit -n {OPEN_FILES} && exec "$0" -m pixyproxy serve', sys.executable)


@contextmanager
def started(kind: type[Service], folder: Path, upstream: FakeUpstream, **values: str) -> Iterator[Service]:
    settings = {
        "PIXYPROXY_GENERATOR": "openai",
        "PIXYPROXY_ANONYMOUS": "write",
        "OPENAI_API_KEY": "sk-of-the-fake",
        "OPENAI_BASE_URL": upstream.base_url,
        "TMPDIR": str(folder),
    }
    with kind(folder, **settings | values) as service:
        yield service


def connect(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def charged(upstream: FakeUpstream) -> int:
    return sum(request.charged for request in upstream.requests)


def create(service: Service, prompt: str) -> dict[str, Any]:
    with service.client() as client:
        answer = client.post("/image", json={"prompt": prompt})
    assert answer.status_code == 200, answer.text
    detail: dict[str, Any] = answer.json()
    return detail


def open_files(service: Service) -> int:
    return sum(1 for _ in Path(f"/proc/{service.pid}/fd").iterdir())


@pytest.mark.parametrize("count", [400, pytest.param(2200, marks=pytest.mark.slow)])
def test_idle_connections_cost_no_picture(tmp_path: Path, count: int) -> None:
    with FakeUpstream() as upstream, started(FewFiles, tmp_path, upstream) as service, ExitStack() as stack:
        with ThreadPoolExecutor(5) as threads:
            creating = [threads.submit(create, service, f"duck {n} [[ok delay=2]]") for n in range(5)]
            deadline = Deadline("the pictures are being made")
            while charged(upstream) < 5:
                deadline.wait()
            for number in range(count):
                idle = stack.enter_context(connect(service))
                if number % 2:
                    idle.sendall(GET)
            assert open_files(service) < OPEN_FILES
            details = [made.result() for made in creating]
        assert {detail["status"] for detail in details} == {"ready"}
        assert charged(upstream) == 5
        with service.client() as client:
            for detail in details:
                assert len(client.get(detail["content_url"]).content) == detail["size_bytes"]
        assert "LOST" not in service.log


@contextmanager
def no_open_file_left(service: Service) -> Iterator[None]:
    """Let the process open no more files."""
    before = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, before)


def test_pictures_wait_in_memory_for_open_files(tmp_path: Path) -> None:
    with FakeUpstream() as upstream, started(Service, tmp_path, upstream) as service, ExitStack() as stack:
        with ThreadPoolExecutor(3) as threads:
            creating = [threads.submit(create, service, f"duck {n} [[ok delay=1]]") for n in range(3)]
            deadline = Deadline("the pictures are being made")
            while charged(upstream) < 3:
                deadline.wait()
            with no_open_file_left(service):
                deadline = Deadline("the pictures wait")
                while "wait in memory" not in service.log:
                    deadline.wait()
                waiting = [stack.enter_context(connect(service)) for _ in range(50)]
                before = processor_seconds(service)
                time.sleep(2)
                assert processor_seconds(service) - before < 1.5
                assert not any(made.done() for made in creating)
            details = [made.result() for made in creating]
        assert {detail["status"] for detail in details} == {"ready"}
        assert charged(upstream) == 3
        for connection in waiting:
            connection.sendall(GET)
            assert connection.recv(12) == b"HTTP/1.1 200"
        log = service.log
        assert log.count("no connection can be accepted") == 1
        assert log.count("pictures wait in memory") == 1
        assert log.count("no picture waits in memory") == 1
        assert "LOST" not in log
        assert "rescued" not in log


def processor_seconds(service: Service) -> float:
    user, system = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def test_a_drain_waits_for_pictures_in_memory(tmp_path: Path) -> None:
    with FakeUpstream() as upstream, started(Service, tmp_path, upstream) as service:
        with ThreadPoolExecutor(1) as threads:
            creating = threads.submit(create, service, "duck [[ok delay=1]]")
            deadline = Deadline("the picture is being made")
            while not charged(upstream):
                deadline.wait()
            with no_open_file_left(service):
                deadline = Deadline("the picture waits")
                while "wait in memory" not in service.log:
                    deadline.wait()
                service.signal()
                deadline = Deadline("the service drains")
                while "waiting up to" not in service.log:
                    deadline.wait()
            detail = creating.result()
        assert service.wait() == 0
        assert (detail["status"], charged(upstream)) == ("ready", 1)
        [picture] = [path for path in service.files() if path.suffix == ".bin"]
        assert picture.stat().st_size == detail["size_bytes"]
