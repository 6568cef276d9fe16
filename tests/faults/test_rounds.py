"""Crashes at random moments, on both databases: `python -m tests.faults`, which says what it does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.databases import NAMES

ROUNDS = os.environ.get("PIXYPROXY_FAULT_ROUNDS", "60")
ROOT = Path(__file__).parents[2]
NO_SERVER = 3


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """A run on each database, side by side: most of a round is waiting for leases to end."""
    command = [sys.executable, "-m", "tests.faults", "--rounds", ROUNDS, "--database"]
    running = {
        name: subprocess.Popen(
            [*command, name],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in NAMES
    }
    try:
        yield running
    finally:
        for process in running.values():
            with process:
                process.terminate()


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_cut_off_ledger_clients_rows_and_files_agree(
    runs: dict[str, "subprocess.Popen[str]"], name: str
) -> None:
    said, errors = runs[name].communicate()
    print(said)
    if runs[name].returncode == NO_SERVER and os.environ.get("PIXYPROXY_REQUIRE_MYSQL") != "1":
        pytest.skip(said)
    assert runs[name].returncode == 0, f"{said}\n{errors}"
    assert f"{ROUNDS} rounds" in said
