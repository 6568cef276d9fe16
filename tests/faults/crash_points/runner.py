"""Run a scenario once for each point at which it can break, in a process each; see `python -m … -h`.

The process that forks has imported what its children need, and holds no thread, connection or event loop: each child is
as fresh as a new process, and costs a few milliseconds instead of a second.
"""

import argparse
import asyncio
import contextlib
import errno
import io
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.cli.reconcile import reconcile
from tests.faults.crash_points.invariants import violations
from tests.faults.crash_points.sandbox import LEASE_S, SUBJECT, Sandbox
from tests.faults.crash_points.scenarios import SCENARIOS, make, run
from tests.faults.crash_points.steps import AFTER, BEFORE, Fault, Step, Steps, failing_at, killed_at, no_fault
from tests.fixtures.forked_process import PRELOADED
from tests.fixtures.openai.pictures import picture
from tests.fixtures.sql.mysql_servers import MySQLSettings

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)
NOTHING = "nothing to reconcile"


class Point:
    """One way to break a scenario."""

    def __init__(self, step: Step, when: str, fault: Callable[[Path], Fault], text: str, *, killed: bool) -> None:
        self.step = step
        self.when = when
        self.fault = fault
        self.text = text
        self.killed = killed

    def completed(self, steps: list[Step]) -> list[str]:
        """Return the names of the steps that were completed when it broke."""
        return [step.name for step in steps[: self.step.number + (self.when == AFTER)]]


def kills(steps: list[Step], *, each_way: bool) -> Iterator[Point]:
    """Yield a kill before and after each step; unless `each_way`, after the last step only."""
    for step in steps:
        after = not step.fails and (each_way or step is steps[-1])
        for when in (BEFORE, AFTER) if after else (BEFORE,):
            fault = killed_at(step.number, when)
            yield Point(step, when, lambda disk, fault=fault: fault, f"killed {when} {step}", killed=True)


def errors(steps: list[Step], *, each_way: bool) -> Iterator[Point]:
    """Yield an error at each step: once, lasting, and after the step; unless `each_way`, once with one errno."""
    for step in steps:
        if step.name == "charge":
            continue
        codes = CODES if each_way and not step.is_commit else [CODES[step.number % len(CODES)]]
        ways = [(BEFORE, False, code) for code in codes]
        if each_way:
            ways += [(BEFORE, True, code) for code in codes]
        if each_way and not step.fails:
            ways.append((AFTER, False, errno.EIO))
        for when, lasting, code in ways:
            fault = partial(failing_at, step.number, code, when=when, lasting=lasting)
            what = "connection lost" if step.is_commit else errno.errorcode[code]
            text = f"{what} {when} {step}{' and from then on' if lasting else ''}"
            yield Point(step, when, fault, text, killed=False)


class Runner:
    """Breaks one scenario on one database in folders below `root`."""

    def __init__(self, root: Path, scenario: str, mysql: MySQLSettings | None) -> None:
        self._root = root
        self._scenario = scenario
        self._mysql = mysql
        self._template: Path | None = None

    def count(self) -> list[Step]:
        """Return the steps of a run without faults, after checking its result."""
        if self._mysql is None:
            self._template = self._root / "template.sqlite3"
            self._in_child(lambda: asyncio.run(migrate(self._template)))
        sandbox = self._sandbox("count")

        def act() -> Any:
            steps = Steps()
            asyncio.run(run(sandbox, SCENARIOS[self._scenario](), steps, lambda: steps.arm(no_fault)))
            return [[step.name, str(step.path or ""), step not in steps.ended] for step in steps.taken]

        taken = self._in_child(act, sandbox)
        steps = [Step(n, name, Path(path) if path else None, fails) for n, (name, path, fails) in enumerate(taken)]
        wrong = self._in_child(lambda: self._afterwards(sandbox, [step.name for step in steps]), sandbox)
        if wrong:
            raise SystemExit(f"wrong although nothing broke: {wrong}")
        return steps

    def broken_at(self, point: Point, steps: list[Step]) -> list[str]:
        """Return what is wrong after a break at this point and a reconciliation."""
        sandbox = self._sandbox("point")

        def act() -> Any:
            own = Steps()
            arm = lambda: own.arm(point.fault(sandbox.images))  # noqa: E731 - a name for it says nothing more
            asyncio.run(run(sandbox, SCENARIOS[self._scenario](), own, arm))

        if self._in_child(act, sandbox, killed=point.killed) == "survived":
            return ["the process lived on where it was to be killed"]
        completed = point.completed(steps)
        return self._in_child(lambda: self._afterwards(sandbox, completed, point), sandbox)

    def _afterwards(self, sandbox: Sandbox, completed: list[str], point: Point | None = None) -> list[str]:
        """Reconcile as an operator does and check the invariants; then repeat the request and check again."""
        time.sleep(LEASE_S * 1.5)
        wrong = []
        _reconcile()
        again = _reconcile()
        if again != NOTHING:
            wrong.append(f"a second reconciliation found: {again}")
        wrong += violations(sandbox) + _expected(sandbox, self._scenario, completed, point)
        if self._scenario != "delete":
            asyncio.run(_repeat(sandbox))
            wrong += [f"after a repeat: {what}" for what in violations(sandbox)]
        return wrong

    def _sandbox(self, name: str) -> Sandbox:
        folder = self._root / name
        shutil.rmtree(folder, ignore_errors=True)
        sandbox = Sandbox(folder, self._mysql)
        sandbox.begin(self._template)
        return sandbox

    def _in_child(self, work: Callable[[], Any], sandbox: Sandbox | None = None, *, killed: bool = False) -> Any:
        """Return the result of work in a forked process, which runs in the sandbox if there is one."""
        result, log = self._root / "result", self._root / "log"
        result.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(fd, 2)
                if sandbox is not None:
                    sandbox.enter()
                result.write_text(json.dumps(work()))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        if killed and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        if status:
            raise SystemExit(f"a process of the test failed:\n{log.read_text()}")
        return "survived" if killed else json.loads(result.read_text())


def _reconcile() -> str:
    """Return the output of `pixyproxy reconcile --apply`."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(typer.Exit):
        reconcile(apply=True)
    return said.getvalue().strip()


async def _repeat(sandbox: Sandbox) -> None:
    """Repeat the request under the same idempotency key."""
    async with sandbox.service(Steps()) as container:
        try:
            await make(sandbox, container, SUBJECT)
        except PixyProxyException as error:
            sandbox.record(event="refused", kind=type(error).__name__, guid=error.guid, prompt=SUBJECT, code=error.code)
            if error.code != "generation-interrupted" or not error.replayed:
                raise


def _expected(sandbox: Sandbox, scenario: str, completed: list[str], point: Point | None) -> list[str]:
    """Compare the outcome with the steps that were completed, beyond the invariants."""
    rows = [row for row in sandbox.rows().values() if row.prompt == SUBJECT]
    status = rows[0].status if rows else None
    wrong = [f"{len(rows)} rows of one request"] if len(rows) > 1 else []
    if scenario == "delete":
        gone = "commit delete" in completed
        wrong += [f"half deleted: {rows}"] if gone != (status is None) or (rows and status != "ready") else []
    elif scenario == "update":
        name = "after.png" if "commit update" in completed else "before.png"
        wrong += [] if [row.filename for row in rows] == [name] else [f"not called {name}: {rows}"]
    elif scenario == "reconcile":
        wrong += [] if picture("deleted in part") in sandbox.quarantined() else ["bytes without a row are gone"]
        wrong += [f"not adopted: {row}" for row in rows if row.status != "ready"]
    elif point is None or point.killed:
        wanted = "ready" if "rename image" in completed else "unknown" if "commit add_batches" in completed else None
        wrong += [f"{status} where {wanted} was to be expected"] if status != wanted else []
    else:
        wrong += _expected_of_error(sandbox, status, point)
    return wrong


def _expected_of_error(sandbox: Sandbox, status: str | None, point: Point) -> list[str]:
    """Check that a surviving process keeps what it paid for and reports the right error.

    On a busy machine the database may not answer in time: then nothing is paid, and the step that breaks never comes.
    """
    wrong, is_charged = [], bool(sandbox.charges(SUBJECT))
    if is_charged and status != "ready":
        wrong.append(f"paid for, and {status}")
    refused = [fact for fact in sandbox.responses() if fact["event"] == "refused"]
    if point.step.is_commit:
        kinds = {"DBConnectionError"}
    else:
        kinds = {"BlobStoreFullError"} if "ENOSPC" in point.text else {"BlobStoreError"}
        kinds |= set() if is_charged else {"DBConnectionError"}
    wrong += [f"refused as {fact['kind']}" for fact in refused if fact["kind"] not in kinds]
    if is_charged:
        wrong += [f"refused without the guid: {fact}" for fact in refused if not fact["guid"]]
    if not refused and not any(fact.get("prompt") == SUBJECT for fact in sandbox.responses()):
        wrong.append("neither made nor refused")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["kills", "errors"])
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--briefly", action="store_true", help="fewer ways of breaking each step")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth of these points")
    parser.add_argument("--mysql", type=json.loads, help="host, port, user, password and name as a JSON list")
    given = parser.parse_args()
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            import_module(name)
    runner = Runner(given.folder.absolute(), given.scenario, MySQLSettings(*given.mysql) if given.mysql else None)
    steps = runner.count()
    points = list({"kills": kills, "errors": errors}[given.mode](steps, each_way=not given.briefly))[:: given.every]
    failures = 0
    for point in points:
        for wrong in runner.broken_at(point, steps):
            print(f"{point.text}: {wrong}")
            failures += 1
    print("steps: " + ", ".join(map(str, steps)))
    print(f"{len(points)} points, {failures} violations")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
