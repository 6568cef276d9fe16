"""Remove each step that keeps the promise, one at a time, and check that a test fails for each.

    python -m tests.faults.mutations [--jobs N] [part of a file's name]

A step is a statement that flushes, renames, links, removes, stores or records something. Steps are found in the source,
so a new one is tried as well, also one that is called through `run(partial(…))`. Each is replaced by `pass` in a copy
of the package (by None where its value is kept), and the tests of its module run against the copy. Killing a process
does not show a missing flush, because the page cache survives: tests that record the order of system calls do
(`tests/integration/filesystem/test_durability.py`).
Exit with 1 if a step can be removed without a test failing.
"""

import argparse
import ast
import asyncio  # noqa: F401 - imported once, before anything forks
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dependency_injector.containers  # noqa: F401
import pydantic  # noqa: F401
import pymysql  # noqa: F401
import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "pixyproxy"
PATIENCE_S = 120
REWRITING = "pytest.PytestAssertRewriteWarning"
"""The warning about plugins that were imported before pytest began, as here on purpose."""

FLUSHES = {"fsync", "flush_file", "flush_folder", "_flush", "make_durable"}
FILES = {
    "rename",
    "link",
    "unlink",
    "remove_quietly",
    "_swap_in",
    "_put_back",
    "move_sidecar",
    "remove_rescued",
}
ROWS = {
    "check_writable",
    "put",
    "_keep",
    "replace_sidecar",
    "delete",
    "roll_back",
}
RECORDS = {
    "_store",
    "record_failure",
    "rescue",
    "_mark_not_made",
    "_mark_failed",
    "mark_failed",
    "mark_ready",
    "adopt_rescued",
    "quarantine",
}
PENDING = "self.pending_writes"
"""The dictionary whose entries are written to the database later."""
STEPS = {PENDING} | FLUSHES | FILES | ROWS | RECORDS

UNIT, CONFORMANCE, FILESYSTEM = "tests/unit", "tests/conformance", "tests/integration/filesystem"
WRITING = [f"{FILESYSTEM}/test_{name}.py" for name in ("sidecar", "durability", "room", "writes")]
ORDERING = [f"{FILESYSTEM}/test_maintenance.py", f"{FILESYSTEM}/test_maintenance_faults.py"]
ORDERING.append(f"{CONFORMANCE}/test_filesystem_blob_maintenance.py")
SQLITE = ["tests/integration/sql/test_sqlite_faults.py", f"{CONFORMANCE}/test_sqlite_image_repository.py"]
SERVING = [
    f"{UNIT}/application/generation/test_last_steps.py",
    f"{UNIT}/application/images/test_image_service.py",
    f"{UNIT}/application/generation/test_idempotency.py",
    "tests/integration/maintenance/test_reconciler.py",
]
TESTS = {
    "adapters/filesystem/durable_files.py": WRITING + ORDERING[:1],
    "adapters/filesystem/writer.py": WRITING,
    "adapters/filesystem/thumbnail_store.py": [f"{FILESYSTEM}/test_thumbnails.py"],
    "adapters/filesystem/quarantine.py": ORDERING,
    "adapters/filesystem/rescue/adoption.py": ORDERING,
    "adapters/filesystem/blob_maintenance.py": ORDERING,
    "adapters/sqlite/session.py": SQLITE,
    "application/generation/collector.py": SERVING,
    "application/generation/recorder.py": [*SERVING, f"{UNIT}/application/queue/test_takeover.py"],
    "application/images/sidecar_updates.py": SERVING[1:],
    "application/images/image_service.py": [*SERVING, f"{UNIT}/application/images/test_thumbnails.py"],
    "application/maintenance/reconciler.py": SERVING[::-1],
    "application/maintenance/sweeping/stored_results.py": SERVING[::-1],
    "application/maintenance/sweeping/sweep.py": SERVING[::-1],
}
"""The files that hold steps, and the tests that must notice a missing step, the most likely first."""


@dataclass(frozen=True)
class Mutation:
    """A file of the package without one of its steps."""

    file: str
    line: int
    removed: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {' '.join(self.removed.split())}"


def mutations(file: str) -> Iterator[Mutation]:
    """Yield a mutation for each step of a file."""
    text = (SOURCE / file).read_text()
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and _step_name(node):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            indent = lines[first][: node.col_offset]
            removed = "".join(lines[first:last])
            left = "pass"
            if isinstance(node, ast.Assign) and _is_retried(node):
                left = f"{ast.unparse(node.targets[0])} = None"
            yield Mutation(file, node.lineno, removed, "".join([*lines[:first], f"{indent}{left}\n", *lines[last:]]))


def stale_names() -> list[str]:
    """Return the entries of the tables that no longer fit the source: rename them, or remove them."""
    stale = [f"no such file: {file}" for file in TESTS if not (SOURCE / file).is_file()]
    found = {file: _step_names(file) for file in TESTS if (SOURCE / file).is_file()}
    stale += [f"no step is left in {file}" for file, names in found.items() if not names]
    stale += [f"no step is called {name}" for name in sorted(STEPS.difference(*found.values()))]
    paths = sorted({path for tests in TESTS.values() for path in tests})
    return stale + [f"no such test: {path}" for path in paths if not (REPOSITORY / path).exists()]


def _step_names(file: str) -> set[str]:
    tree = ast.parse((SOURCE / file).read_text())
    return {_step_name(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)} - {""}


def _step_name(node: ast.stmt) -> str:
    """Return the name of the step that a statement is, or an empty string."""
    if isinstance(node, ast.Assign) and not _is_retried(node):
        target = node.targets[0]
        is_pending = isinstance(target, ast.Subscript) and ast.unparse(target.value) == PENDING
        return PENDING if is_pending else ""
    if not isinstance(node, ast.Expr | ast.Assign):
        return ""
    call = _call(node.value)
    if call is None:
        return ""
    name = _name(_retried(call) or call.func)
    sql = ast.unparse(call) if name == "execute" else ""
    return name if name in STEPS or any(word in sql for word in ("COMMIT", "BEGIN", "ROLLBACK")) else ""


def _call(value: ast.expr) -> ast.Call | None:
    """Return the call that a value is, perhaps awaited, or None."""
    inner = value.value if isinstance(value, ast.Await) else value
    return inner if isinstance(inner, ast.Call) else None


def _retried(call: ast.Call) -> ast.expr | None:
    """Return the function that a call such as `self._retries.run(partial(function, …))` runs, or None."""
    first = call.args[0] if _name(call.func) == "run" and call.args else None
    return first.args[0] if isinstance(first, ast.Call) and _name(first.func) == "partial" and first.args else None


def _is_retried(node: ast.stmt) -> bool:
    """Return true for a statement that keeps the value of such a call."""
    call = _call(node.value) if isinstance(node, ast.Assign) else None
    return call is not None and _retried(call) is not None


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def tests_fail(tests: list[str], mutation: Mutation | None) -> int:
    """Run the tests against a copy of the package in a forked process, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        signal.alarm(PATIENCE_S)  # a test that hangs has noticed, too
        with tempfile.TemporaryDirectory(prefix="pixyproxy-mutation-", dir=_memory()) as folder:
            copy = Path(folder) / "pixyproxy"
            shutil.copytree(SOURCE, copy)
            if mutation is not None:
                changed = copy / mutation.file
                shutil.rmtree(changed.parent / "__pycache__", ignore_errors=True)
                changed.write_text(mutation.text)
            out = os.open(os.environ.get("MUTATIONS_LOG", os.devnull), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            for fd in (1, 2):
                os.dup2(out, fd)
            os.chdir(REPOSITORY)
            sys.path.insert(0, folder)
            os.environ["PYTHONPATH"] = folder  # for processes that the tests start
            sys.dont_write_bytecode = True
            base = f"--basetemp={folder}/tests"
            status = int(
                pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", f"ignore::{REWRITING}", base, *tests])
            )
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return 0


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def survivors(wanted: list[Mutation], jobs: int) -> Iterator[tuple[Mutation, str]]:
    """Yield each mutation that no test notices or that could not be tried, with the reason."""
    running: dict[int, Mutation] = {}
    waiting = wanted[::-1]
    while waiting or running:
        while waiting and len(running) < jobs:
            mutation = waiting.pop()
            running[tests_fail(TESTS[mutation.file], mutation)] = mutation
        pid, status = os.wait()
        mutation = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code not in (pytest.ExitCode.TESTS_FAILED, -signal.SIGALRM):
            yield mutation, "survived" if code == 0 else f"could not be tried: exit status {code}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutations", description=__doc__)
    parser.add_argument("part", nargs="?", default="", help="part of a file's name: try the steps of these files only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutations to try at a time")
    given = parser.parse_args()
    if stale := stale_names():
        sys.exit("The tables of tests/faults/mutations.py are out of date:\n" + "\n".join(stale))
    files = [file for file in TESTS if given.part in file]
    if not files:
        sys.exit(f"No file with steps is called {given.part}.")
    began = time.monotonic()
    everything = sorted({test for file in files for test in TESTS[file]})
    if os.waitstatus_to_exitcode(os.waitpid(tests_fail(everything, None), 0)[1]):
        sys.exit(f"The tests fail without any mutation: {' '.join(everything)}")
    wanted = [mutation for file in files for mutation in mutations(file)]
    bad = 0
    for mutation, reason in survivors(wanted, given.jobs):
        print(f"{reason}: {mutation}", flush=True)
        bad += 1
    print(f"{len(wanted)} steps removed one at a time, {len(wanted) - bad} noticed, {time.monotonic() - began:.0f} s")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
