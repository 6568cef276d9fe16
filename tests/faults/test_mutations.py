"""Each step that keeps the promise is missed by a test when it is removed: see `tests.faults.mutations`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import mutations

ROOT = Path(__file__).parents[2]


def test_the_tables_of_mutations_fit_the_source() -> None:
    assert mutations.stale_names() == []


def test_a_step_is_found_behind_its_retries() -> None:
    found = list(mutations.mutations("application/generation/recorder.py"))
    [stored] = [one for one in found if "partial(self._blobs.put" in one.removed]
    assert "partial(self._blobs.put" not in stored.text
    [rescued] = [one for one in found if "partial(self._blobs.rescue" in one.removed]
    assert "            place = None\n" in rescued.text


@pytest.mark.slow
@pytest.mark.parametrize("file", mutations.TESTS)
def test_a_test_fails_for_each_removed_step(file: str) -> None:
    command = [sys.executable, "-m", "tests.faults.mutations", "--jobs", "1", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
