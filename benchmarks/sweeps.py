"""`python -m benchmarks.sweeps`: start, reads beside a sweep, and memory, with many images on SQLite and a disk."""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

from rich.console import Console

from benchmarks.compare import Report, Row, ratio
from benchmarks.load import LoadGenerator, get
from benchmarks.memory import peak_mb, processor_seconds, reset_peak
from benchmarks.report import table
from benchmarks.services import Running, address_of, environment, process, running_service
from pixyproxy.adapters.sqlite.migrations import migrate
from tests.fixtures.sql.many_images import Rows, chunks, fill_sqlite

READY_AIM, P99_AIM, MEMORY_AIM = 2.0, 2.0, 1.2
"""Seconds to the first ready response; p99 beside a sweep to p99 without; memory with many images to that with few."""
_DATABASE = "data/pixyproxy.sqlite3"
_FEWER = 10
"""The other service has so many times fewer images: its caches are as full, and only what grows differs."""
_PATIENCE_S = 15.0
_PATIENCE_S_PER_IMAGE = 0.001
_ROUNDS = 5
_SECONDS = 6.0
_RATE, _CONNECTIONS = 50.0, 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description="Sweeps of many images.")
    parser.add_argument("--images", type=int, default=100_000, help="number of images")
    count = parser.parse_args().images
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name:
        few, many = Path(name, "few"), Path(name, "many")
        with console.status("filling"):
            _fill(few, count // _FEWER)
            guids = _fill(many, count)
        with console.status("starting"):
            starts = [(*_start(few), *_start(many)) for _ in range(_ROUNDS)]
        with console.status("reading"):
            quiet, beside = zip(*(_pair(many, guids) for _ in range(_ROUNDS)), strict=True)
        with console.status("sweeping"):
            small, _ = _swept(few, count // _FEWER)
            large, round_s = _swept(many, count)
    ready = [statistics.median(values) for values in zip(*starts, strict=True)]
    rows = [
        Row("start until ready, s", ready[2], ready[0], ready[2] / ready[0]),
        Row("the same, s of the processor", ready[3], ready[1], ready[3] / ready[1]),
        Row("p99 of details, ms", 1000 * statistics.median(beside), 1000 * statistics.median(quiet),
            ratio(beside, quiet), at_most=P99_AIM),
        Row("peak memory of a whole round, MB", large, small, large / small, at_most=MEMORY_AIM),
    ]  # fmt: skip
    title = f"Sweeps of {count:,} images"
    console.print(table(Report(title, "", f"{count // _FEWER:,} images; for p99: no sweep", rows)))
    console.print(
        f"ready after {ready[2]:.2f} s (aim: {READY_AIM:g}); a whole round takes {round_s:.1f} s of processor"
    )


def _fill(home: Path, count: int) -> list[str]:
    """Write rows, and files of their lengths that take no room; return the GUIDs that anybody may see."""
    (home / "data").mkdir(parents=True)
    database = home / _DATABASE
    asyncio.run(migrate(database))
    guids: list[str] = []
    for made in chunks(count):
        fill_sqlite(database, made)
        guids += _store(home / "images", made)
    return guids


def _store(root: Path, made: Rows) -> Iterator[str]:
    for row in made.images:
        guid, visibility, status, size = row[1], row[7], row[8], row[17]
        if status != "ready":
            continue
        folder = root / guid[:2] / guid[2:4]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{guid}.bin").open("wb") as file:
            file.truncate(size)
        (folder / f"{guid}.json").write_text("{}")
        if visibility == "public":
            yield guid


def _settings(home: Path) -> dict[str, str]:
    return {"PIXYPROXY_DATA_DIR": str(home / "data"), "PIXYPROXY_IMAGES_DIR": str(home / "images")}


def _start(home: Path) -> tuple[float, float]:
    """Return the seconds from the start of the program to the first response that says ready, and of the processor."""
    began = time.monotonic()
    with running_service(home, **_settings(home)) as running:
        while True:
            with suppress(URLError), urllib.request.urlopen(f"{running.url}/readyz", timeout=10):
                return time.monotonic() - began, processor_seconds(running.pid)
            time.sleep(0.01)


@contextmanager
def _sweeping(home: Path) -> Iterator[Running]:
    """Run a service that sweeps all the time."""
    settings = {"PIXYPROXY_PORT": "0", "PIXYPROXY_ANONYMOUS": "write", "PIXYPROXY_DRAIN_S": "1"} | _settings(home)
    with closing(sqlite3.connect(home / _DATABASE)) as connection, connection:
        # The lease of the service before runs through its pause.
        connection.execute("DELETE FROM maintenance_leases")
    values = environment(PYTHONPATH=str(Path(__file__).parents[1]), **settings)
    with process([sys.executable, "-m", "benchmarks.with_sweeps"], home, values) as started:
        yield Running(address_of(started, "address", home), started.pid)


def _pair(home: Path, guids: list[str]) -> tuple[float, float]:
    """Return the p99 of details in seconds, without a sweep and beside one."""
    with running_service(home, **_settings(home)) as running:
        quiet = _p99(running, guids)
    with _sweeping(home) as running:
        return quiet, _p99(running, guids)


def _p99(running: Running, guids: list[str]) -> float:
    requests = [("details", get(f"/image/{guid}")) for guid in guids[:: max(1, len(guids) // 2000)]]
    with LoadGenerator() as load:
        found = []
        for seconds in (1.0, _SECONDS):
            load.start(running.url, requests, connections=_CONNECTIONS, seconds=seconds, rate=_RATE)
            found.append(load.result().kinds["details"].p99)
    return found[-1]


def _swept(home: Path, count: int) -> tuple[float, float]:
    """Return the peak of memory in MB, and the seconds of the processor that a whole round takes."""
    with _sweeping(home) as running, closing(sqlite3.connect(home / _DATABASE, timeout=10)) as connection:
        _await_round(connection, count)
        reset_peak(running.pid)
        before = processor_seconds(running.pid)
        _await_round(connection, count)
        return peak_mb(running.pid), processor_seconds(running.pid) - before


def _await_round(connection: sqlite3.Connection, count: int) -> None:
    """Wait until a round has ended; those of few images may be missed, and end all the time."""
    last, end = "", time.monotonic() + _PATIENCE_S + _PATIENCE_S_PER_IMAGE * count
    while time.monotonic() < end:
        found = connection.execute("SELECT position FROM maintenance_leases WHERE name = 'sweep'").fetchone()
        position = found[0] or "" if found else ""
        if position < last:
            return
        last = position
        time.sleep(0.01)


if __name__ == "__main__":
    main()
