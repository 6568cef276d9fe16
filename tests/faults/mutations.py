"""Removes every step that the promise rests on, one at a time, and shows that some test fails for each.

    python -m tests.faults.mutations [part of a file's name]

A step is a statement that flushes, renames, links, removes, stores or records something; they are found in the source,
so that a new one is tried too. Each is replaced by `pass` in a copy of the package, and the tests near to it are run
against the copy. What a flush is there for cannot be seen by killing a process, because the page cache survives it: a
removed flush is caught by tests that record the order of system calls
(`tests/integration/filesystem/test_durability.py`).
Exits with 1 if a step can be removed without a test failing.
"""

import ast
import asyncio  # noqa: F401 - what the tests need is imported once, before anything forks
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
import pydantic_settings  # noqa: F401
import pymysql  # noqa: F401
import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "pixyproxy"
WORKERS = os.cpu_count() or 1
PATIENCE_S = 120
REWRITING = "pytest.PytestAssertRewriteWarning"
"""What pytest says of plugins that were imported before it began, as here on purpose."""

FLUSHES = {"fsync", "flush_file", "flush_folder", "_flush", "_flush_file", "make_durable"}
FILES = {"rename", "link", "unlink", "remove_quietly", "_swap_in", "_put_back", "_let_go", "_settle", "move_sidecar"}
ROWS = {
    "check_writable",
    "put",
    "rescue",
    "_keep_aside",
    "replace_sidecar",
    "delete",
    "begin",
    "commit",
    "roll_back",
}
RECORDS = {
    "_store",
    "record_failure",
    "_rescue",
    "_mark_not_made",
    "_mark_failed",
    "mark_failed",
    "mark_ready",
    "adopt_rescued",
    "quarantine",
    "_ready",
}
STEPS = FLUSHES | FILES | ROWS | RECORDS

UNIT, CONFORMANCE, FILESYSTEM = "tests/unit", "tests/conformance", "tests/integration/filesystem"
WRITING = [f"{FILESYSTEM}/test_{name}.py" for name in ("sidecar", "durability", "room", "writes")]
ORDERING = [f"{FILESYSTEM}/test_recovery.py", f"{FILESYSTEM}/test_recovery_faults.py"]
ORDERING.append(f"{CONFORMANCE}/test_filesystem_blob_maintenance.py")
SQLITE = ["tests/integration/sql/test_sqlite_faults.py", f"{CONFORMANCE}/test_sqlite_image_repository.py"]
SERVING = [
    f"{UNIT}/application/generation/test_last_steps.py",
    f"{UNIT}/application/images/test_image_service.py",
    f"{UNIT}/application/generation/test_idempotency.py",
    f"{UNIT}/application/maintenance/test_reconciler.py",
]
TESTS = {
    "adapters/filesystem/durable.py": WRITING + ORDERING[:1],
    "adapters/filesystem/syscalls.py": WRITING,
    "adapters/filesystem/writer.py": WRITING,
    "adapters/filesystem/writes.py": WRITING,
    "adapters/filesystem/blob_store.py": [f"{FILESYSTEM}/test_derivatives.py", *WRITING],
    "adapters/filesystem/quarantine.py": ORDERING,
    "adapters/filesystem/rescue.py": ORDERING,
    "adapters/filesystem/blob_maintenance.py": ORDERING,
    "adapters/sqlite/session.py": SQLITE,
    "application/generation/runner.py": SERVING,
    "application/generation/recorder.py": SERVING,
    "application/images/image_service.py": SERVING,
    "application/maintenance/reconciler.py": SERVING[::-1],
}
"""Where the steps are, and the tests near to them."""


@dataclass(frozen=True)
class Mutation:
    """A file of the package with one step less."""

    file: str
    line: int
    removed: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {' '.join(self.removed.split())}"


def mutations(file: str) -> Iterator[Mutation]:
    """Each step of a file removed."""
    text = (SOURCE / file).read_text()
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and _is_step(node):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            indent = lines[first][: node.col_offset]
            removed = "".join(lines[first:last])
            yield Mutation(file, node.lineno, removed, "".join([*lines[:first], f"{indent}pass\n", *lines[last:]]))


def _is_step(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        # A pending write.
        target = node.targets[0]
        return isinstance(target, ast.Subscript) and ast.unparse(target.value) == "self.pending_writes"
    if not isinstance(node, ast.Expr):
        return False
    call = node.value.value if isinstance(node.value, ast.Await) else node.value
    if not isinstance(call, ast.Call):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    sql = ast.unparse(call) if name == "execute" else ""
    return name in STEPS or any(word in sql for word in ("COMMIT", "BEGIN", "ROLLBACK"))


def tests_fail(tests: list[str], mutation: Mutation | None) -> int:
    """Start the tests in a process of their own against a copy of the package; return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        signal.alarm(PATIENCE_S)  # what hangs is found out, too
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


def survivors(wanted: list[Mutation]) -> Iterator[tuple[Mutation, str]]:
    """Those that no test notices, and those that could not be tried, with what happened."""
    running: dict[int, Mutation] = {}
    waiting = wanted[::-1]
    while waiting or running:
        while waiting and len(running) < WORKERS:
            mutation = waiting.pop()
            running[tests_fail(TESTS[mutation.file], mutation)] = mutation
        pid, status = os.wait()
        mutation = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code not in (pytest.ExitCode.TESTS_FAILED, -signal.SIGALRM):
            yield mutation, "survived" if code == 0 else f"could not be tried: exit status {code}"


def main() -> None:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    began = time.monotonic()
    files = [file for file in TESTS if part in file]
    everything = sorted({test for file in files for test in TESTS[file]})
    if os.waitstatus_to_exitcode(os.waitpid(tests_fail(everything, None), 0)[1]):
        sys.exit(f"the tests fail without any mutation: {' '.join(everything)}")
    wanted = [mutation for file in files for mutation in mutations(file)]
    bad = 0
    for mutation, what in survivors(wanted):
        print(f"{what}: {mutation}", flush=True)
        bad += 1
    print(f"{len(wanted)} steps removed one at a time, {len(wanted) - bad} noticed, {time.monotonic() - began:.0f} s")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
