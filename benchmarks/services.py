"""Start the processes of a run: the service, the fake upstream, a bare application."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import LoadError

_BIN = Path(sys.executable).parent
_START_S = 60
_STOP_S = 15


@dataclass(frozen=True, slots=True)
class Running:
    """A running process and its address."""

    url: str
    pid: int


_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "MALLOC_MMAP_THRESHOLD_": "8388608",
}
"""The settings of glibc in `deploy/systemd/pixyproxy.service`; without them pictures cost a page fault per 4 KiB."""


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with the allocator settings and these settings of the service, no others."""
    ours = ("PIXYPROXY_", "DB_", "OPENAI_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | _ALLOCATOR | settings


@contextmanager
def service(home: Path, **settings: str) -> Iterator[str]:
    """Run `pixyproxy serve` with these settings, its log in a file in this folder; yield its address."""
    with running_service(home, **settings) as running:
        yield running.url


@contextmanager
def running_service(home: Path, **settings: str) -> Iterator[Running]:
    """Run `pixyproxy serve` as `service` does; yield its address and process id."""
    settings = {"PIXYPROXY_PORT": "0", "PIXYPROXY_ANONYMOUS": "write", "PIXYPROXY_DRAIN_S": "1"} | settings
    arguments = [str(_BIN / "pixyproxy"), "serve"]
    with process(arguments, home, environment(**settings)) as started:
        yield Running(address_of(started, "address", home), started.pid)


@contextmanager
def service_without_database(home: Path, username: str, password: str, **settings: str) -> Iterator[str]:
    """Run a service with everything in memory and this user on its roster; yield its address."""
    settings = {"PIXYPROXY_PORT": "0", "PIXYPROXY_ANONYMOUS": "write", "PIXYPROXY_DRAIN_S": "1"} | settings
    settings |= {"PIXYPROXY_REPOSITORY": "memory", "PYTHONPATH": str(Path(__file__).parents[1])}
    arguments = [sys.executable, "-m", "benchmarks.without_database", username, password]
    with process(arguments, home, environment(**settings)) as started:
        yield address_of(started, "address", home)


@contextmanager
def service_on_h11(home: Path, **settings: str) -> Iterator[str]:
    """Run a service as `service` does, with h11 as its implementation of HTTP/1.1; yield its address."""
    settings = {"PIXYPROXY_PORT": "0", "PIXYPROXY_ANONYMOUS": "write", "PIXYPROXY_DRAIN_S": "1"} | settings
    settings |= {"PYTHONPATH": str(Path(__file__).parents[1])}
    with process([sys.executable, "-m", "benchmarks.with_h11"], home, environment(**settings)) as started:
        yield address_of(started, "address", home)


@contextmanager
def upstream(folder: Path, behaviour: str) -> Iterator[str]:
    """Run the fake of OpenAI's images API with this behaviour; yield its base URL."""
    home = folder / "upstream"
    home.mkdir()
    command = [sys.executable, "-m", "tests.fixtures.openai.upstream", "--port", "0", "--behaviour", behaviour]
    env = environment(PYTHONPATH=str(Path(__file__).parents[1]))
    with process(command, home, env) as started:
        yield address_of(started, "upstream at", home)


@contextmanager
def bare_application(folder: Path) -> Iterator[str]:
    """Run an ASGI application that does nothing, on the same server; yield its address."""
    home = folder / "bare"
    home.mkdir()
    env = environment(PYTHONPATH=str(Path(__file__).parents[1]))
    with process([sys.executable, "-m", "benchmarks.bare"], home, env) as started:
        yield address_of(started, "address", home)


def command(home: Path, *arguments: str, typed: str = "", **settings: str) -> str:
    """Run `pixyproxy` with these arguments and this standard input; return its output. Raises LoadError if it fails."""
    done = subprocess.run(
        [str(_BIN / "pixyproxy"), *arguments], input=typed, env=environment(**settings), cwd=home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LoadError(f"pixyproxy {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def process(arguments: list[str], home: Path, env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a process in a folder of its own, its standard error in the file `log` there, and stop it at the end."""
    with (home / "log").open("ab") as errors:
        started = subprocess.Popen(arguments, cwd=home, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        if started.stdout is not None:
            started.stdout.close()


def address_of(process: "subprocess.Popen[str]", marker: str, home: Path) -> str:
    """Return the address that a process prints behind the marker. Raises LoadError if it does not."""
    assert process.stdout is not None
    give_up = time.monotonic() + _START_S
    for line in process.stdout:
        found = re.search(rf"{marker}\s+(http://\S+)", line)
        if found:
            return found[1]
        if time.monotonic() > give_up:
            break
    raise LoadError(f"{process.args!r} did not start: {(home / 'log').read_text().strip()[-2000:]}")
