"""Metrics that processes share in files: summed up, gone on with by the next process, and apart without room."""

import subprocess
import sys
from pathlib import Path

from tests.fixtures.prometheus import samples

PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
from pixyproxy.adapter_choices import metrics
from pixyproxy.ports.observation.metrics import Survey

logging.basicConfig(level="WARNING", format="%(message)s")
made = metrics(Path(sys.argv[1]), int(sys.argv[2]))
made.request_ended("GET", "/image", 200)
made.call_began()
sys.stdout.write(asyncio.run(made.exposition(Survey(available=False))).decode())
"""
COUNT = 'pixyproxy_requests_total{method="GET",route="/image",status="200"}'


def count_in(folder: Path, worker: int) -> tuple[float, float, str]:
    """Count a request and a call in a process of its own; return what it then shows, and its log."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(worker)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = samples(done.stdout)
    return found[COUNT], found["pixyproxy_calls_in_flight"], done.stderr


def test_processes_share_counters_and_gauges(tmp_path: Path) -> None:
    assert [count_in(tmp_path, worker)[:2] for worker in (0, 1, 2)] == [(1, 1), (2, 2), (3, 3)]


def test_the_next_process_goes_on_with_counters_and_begins_gauges_anew(tmp_path: Path) -> None:
    assert [count_in(tmp_path, worker)[:2] for worker in (0, 0, 0)] == [(1, 1), (2, 1), (3, 1)]


def test_the_blocks_of_the_files_are_taken_at_the_start(tmp_path: Path) -> None:
    count_in(tmp_path, 0)
    files = [path.stat() for path in tmp_path.iterdir()]
    assert len(files) == 3
    assert all(file.st_blocks * 512 >= file.st_size == 1024 * 1024 for file in files)


def test_a_process_without_room_counts_for_itself(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    for _ in range(2):
        requests, calls, log = count_in(folder, 0)
        assert (requests, calls) == (1, 1)
        assert "counts its metrics apart: No such file or directory" in log
    assert list(tmp_path.iterdir()) == []
