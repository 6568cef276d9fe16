"""Kill the service at random moments, on both databases, and compare all accounts: see `python -m tests.faults`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.databases import NAMES

ROOT = Path(__file__).parents[2]
NO_SERVER = 3


@pytest.mark.parametrize("rounds", [5, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("database", NAMES)
def test_ledger_client_records_rows_and_files_agree_after_kills(database: str, rounds: int) -> None:
    command = [sys.executable, "-m", "tests.faults", "--rounds", str(rounds), "--database", database]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    print(done.stdout)
    if done.returncode == NO_SERVER and os.environ.get("PIXYPROXY_REQUIRE_MYSQL") != "1":
        pytest.skip(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"{rounds} rounds" in done.stdout
