"""`pixyproxy serve` as a process that starts quickly, because a run of crashes starts it very often.

Each process is forked from a server in which the modules are imported already, and then runs the command as from a
shell, with its own event loop, connections and files.
"""

import multiprocessing
import os
import re
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from pixyproxy.entrypoints.cli import main
from tests.fixtures.forked_process import PRELOADED

PATIENCE_S = 60.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, *PRELOADED])


def _serve(folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["pixyproxy", "serve"]
    main.run()


class ForkedService:
    """The process; `log_path` holds the log of this process and those before it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log_path = folder / "log"
        self.url = ""
        self._folder = folder
        self._environment = environment
        self._process: ForkServerProcess | None = None

    def fork(self) -> None:
        """Start the process and return at once."""
        self.log_path.touch()
        self._said = self.log_path.stat().st_size
        self._process = _context.Process(target=_serve, args=(str(self._folder), self._environment), daemon=True)
        self._process.start()

    def await_start(self) -> None:
        """Wait until it listens, and set `url`."""
        assert self._process is not None
        end = time.monotonic() + PATIENCE_S
        with self.log_path.open("rb") as log:
            while True:
                log.seek(self._said)
                said = log.read().decode()
                if found := re.search(r"^  address +(\S+)", said, re.MULTILINE):
                    self.url = found[1]
                    return
                assert self._process.is_alive(), f"exit status {self._process.exitcode} at its start: {said}"
                assert time.monotonic() < end, f"it does not start: {said}"
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.join(PATIENCE_S)
            assert self._process.exitcode == -signal.SIGKILL, f"exit status {self._process.exitcode} before the kill"
            self._process = None
