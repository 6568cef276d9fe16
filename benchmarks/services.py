"""Starts the processes that are measured or that they need: the service, the fake upstream, a bare application."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import LoadError

_BIN = Path(sys.executable).parent
_START_S = 30
_STOP_S = 15


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings of the service and no others."""
    ours = ("PIXYPROXY_", "DB_", "OPENAI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | settings


@contextmanager
def service(home: Path, **settings: str) -> Iterator[str]:
    """A `pixyproxy serve` with these settings in this folder, its request log in a file there; yields its address."""
    # Relative folders, and the `.env` file that is not there, are looked for in the working folder.
    settings = {"PIXYPROXY_PORT": "0", "PIXYPROXY_ANONYMOUS": "write", "PIXYPROXY_DRAIN_S": "1"} | settings
    with _process([str(_BIN / "pixyproxy"), "serve"], home, environment(**settings), "address") as address:
        yield address


@contextmanager
def upstream(folder: Path, behaviour: str) -> Iterator[str]:
    """A fake of OpenAI's images API that does this with each request; yields its base URL."""
    home = folder / "upstream"
    home.mkdir()
    command = [sys.executable, "-m", "tests.fakes.openai_upstream", "--port", "0", "--behaviour", behaviour]
    env = environment(PYTHONPATH=str(Path(__file__).parents[1]))
    with _process(command, home, env, "upstream at") as address:
        yield address


@contextmanager
def bare_application(folder: Path) -> Iterator[str]:
    """An ASGI application that does nothing, on the same server; yields its address."""
    home = folder / "bare"
    home.mkdir()
    env = environment(PYTHONPATH=str(Path(__file__).parents[1]))
    with _process([sys.executable, "-m", "benchmarks.bare"], home, env, "address") as address:
        yield address


def command(home: Path, *arguments: str, typed: str = "", **settings: str) -> None:
    """Run `pixyproxy` with these arguments and this on its standard input; raises LoadError if it fails."""
    done = subprocess.run(
        [str(_BIN / "pixyproxy"), *arguments], input=typed, env=environment(**settings), cwd=home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LoadError(f"pixyproxy {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def _process(arguments: list[str], home: Path, env: dict[str, str], marker: str) -> Iterator[str]:
    """A process in its own folder, from the line that has the marker and its address to a clean end."""
    log = home / "log"
    with log.open("ab") as errors:
        process = subprocess.Popen(arguments, cwd=home, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield _address(process, marker, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _address(process: "subprocess.Popen[str]", marker: str, log: Path) -> str:
    assert process.stdout is not None
    give_up = time.monotonic() + _START_S
    for line in process.stdout:
        found = re.search(rf"{marker}\s+(http://\S+)", line)
        if found:
            return found[1]
        if time.monotonic() > give_up:
            break
    raise LoadError(f"{process.args!r} did not start: {log.read_text().strip()[-2000:]}")
