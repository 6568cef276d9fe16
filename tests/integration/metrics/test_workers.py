"""The metrics of several workers: summed up over all, whichever is asked, also after one has died."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixyproxy.entrypoints.http.metrics_folder import metrics_folder
from tests.faults.deployment import wait_until
from tests.faults.test_workers import client_of, wait_for_workers
from tests.fixtures.prometheus import samples
from tests.fixtures.service import Service

LISTED = 'pixyproxy_requests_total{method="GET",route="/image",status="200"}'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, PIXYPROXY_WORKERS="2", PIXYPROXY_METRICS="open") as running:
        yield running


def metrics_of(service: Service, pid: int) -> dict[str, float]:
    with client_of(service, pid) as client:
        return samples(client.get("/metrics").text)


def list_images(service: Service, pid: int, count: int) -> None:
    with client_of(service, pid) as client:
        for _ in range(count):
            assert client.get("/image").status_code == 200


def test_every_worker_tells_the_sum_of_all(service: Service) -> None:
    first, second = wait_for_workers(service)
    with service.client() as client:
        assert client.post("/image", json={"prompt": "a duck"}).status_code == 200
    list_images(service, first, 2)
    list_images(service, second, 3)
    for pid in (first, second):
        found = metrics_of(service, pid)
        assert found[LISTED] == 5
        assert found["pixyproxy_images"] == 1
        assert found["pixyproxy_calls_in_flight"] == 0
        assert found['pixyproxy_upstream_seconds_count{upstream="sketch"}'] == 1
    os.kill(first, signal.SIGKILL)
    third = wait_for_workers(service, 3)[-1]
    assert third not in {first, second}
    list_images(service, third, 1)
    for pid in (second, third):
        assert metrics_of(service, pid)[LISTED] == 6


def test_the_folder_goes_with_the_supervisor(service: Service) -> None:
    wait_for_workers(service)
    mapped = Path(f"/proc/{wait_for_workers(service)[0]}/maps").read_text()
    folders = {Path(line.split()[-1]).parent for line in mapped.splitlines() if "pixyproxy-metrics-" in line}
    assert len(folders) == 1
    [folder] = folders
    assert {path.name for path in folder.iterdir()} == {
        f"{kind}_{worker}.db" for kind in ("counter", "histogram", "gauge_livesum") for worker in (0, 1)
    }
    service.stop()
    wait_until(lambda: not folder.exists(), "the folder is removed")


def test_without_a_file_system_in_memory_the_folder_is_on_disk(tmp_path: Path) -> None:
    with metrics_folder(tmp_path / "none") as folder:
        assert folder.is_dir()
        assert tmp_path not in folder.parents
    assert not folder.exists()
