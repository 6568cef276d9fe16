"""The service keeps its promise when it is killed or fails at any durable step, on SQLite and on MySQL.

The steps are those of a run without faults, so a new step is covered as soon as it exists. The files are in memory
where that is possible: killing a process does not show which flushes are missing, see `tests.faults.mutations` and
`tests/integration/filesystem/test_durability.py`.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.crash_points import runner
from tests.fixtures.forked_process import FORKSERVER
from tests.fixtures.sql.mysql_servers import MySQLSettings

MEMORY = Path("/dev/shm")
SCENARIOS = ("create", "update", "delete", "reconcile")
PATIENCE_S = 1100


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return an in-memory folder if the system has one, because hundreds of databases are flushed to it."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pixyproxy-points-", dir=place) as folder:
        yield Path(folder)


def break_everywhere(mode: str, scenario: str, folder: Path, *options: str, mysql: MySQLSettings | None = None) -> None:
    """Run the scenario once for each point.

    Break each step in every way only where that matters: steps on the disk are the same on both databases,
    and reconciling takes many steps of few kinds.
    """
    arguments = [mode, scenario, str(folder), *options]
    if mysql is not None:
        server = [mysql.host, mysql.port, mysql.user, mysql.password, mysql.name]
        arguments += ["--mysql", json.dumps(server)]
    if mysql is not None or scenario == "reconcile":
        arguments.append("--briefly")
    said = folder / "said"
    process = FORKSERVER.Process(target=run_in_this_process, args=(arguments, said), daemon=True)
    process.start()
    process.join(PATIENCE_S)
    ended = process.exitcode
    process.kill()
    assert ended == 0, said.read_text()


def run_in_this_process(arguments: list[str], said: Path) -> None:
    """Run the runner's command with its output in a file; a forked process has imported the modules already."""
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["runner", *arguments]
    runner.main()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", ["kills", "errors"])
def test_each_step_in_one_way_on_sqlite(mode: str, scenario: str, folder: Path) -> None:
    # Reconciling repeats the same few steps for each picture.
    break_everywhere(mode, scenario, folder, "--briefly", *(("--every", "5") if scenario == "reconcile" else ()))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", ["kills", "errors"])
def test_on_sqlite(mode: str, scenario: str, folder: Path) -> None:
    break_everywhere(mode, scenario, folder)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", ["kills", "errors"])
def test_on_mysql(mode: str, scenario: str, folder: Path, module_mysql: MySQLSettings) -> None:
    break_everywhere(mode, scenario, folder, mysql=module_mysql)
