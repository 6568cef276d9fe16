"""Runs a scenario once for every point at which it can break, each time in a process of its own; see `python -m … -h`.

The process that forks holds no thread, connection or event loop, so that each child is as fresh as a new process and
costs a few milliseconds instead of a second.
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
from pathlib import Path
from typing import Any

import typer

from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints.cli.reconcile import reconcile
from tests.faults.points.judge import violations
from tests.faults.points.scenarios import SCENARIOS, make, run
from tests.faults.points.steps import AFTER, BEFORE, Fault, Step, Steps, failing_at, killed_at, no_fault
from tests.faults.points.world import LEASE_S, SUBJECT, World
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
        """The names of the steps that were taken when it broke."""
        return [step.name for step in steps[: self.step.number + (self.when == AFTER)]]


def kills(steps: list[Step], *, each_way: bool) -> Iterator[Point]:
    """The process killed right before each step, and right after each, or if not `each_way` after the last."""
    for step in steps:
        after = not step.fails and (each_way or step is steps[-1])
        for when in (BEFORE, AFTER) if after else (BEFORE,):
            fault = killed_at(step.number, when)
            yield Point(step, when, lambda disk, fault=fault: fault, f"killed {when} {step}", killed=True)


def errors(steps: list[Step], *, each_way: bool) -> Iterator[Point]:
    """Each step failing once, from then on, or after it has happened; if not `each_way` once, with one error."""
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
        """The steps when nothing breaks, after a look that nothing is wrong then."""
        if self._mysql is None:
            self._template = self._root / "template.sqlite3"
            self._in_child(lambda: asyncio.run(migrate(self._template)))
        world = self._world("count")

        def act() -> Any:
            steps = Steps()
            asyncio.run(run(world, SCENARIOS[self._scenario](), steps, lambda: steps.arm(no_fault)))
            return [[step.name, str(step.path or ""), step not in steps.ended] for step in steps.taken]

        taken = self._in_child(act, world)
        steps = [Step(n, name, Path(path) if path else None, fails) for n, (name, path, fails) in enumerate(taken)]
        wrong = self._in_child(lambda: self._afterwards(world, [step.name for step in steps]), world)
        if wrong:
            raise SystemExit(f"wrong although nothing broke: {wrong}")
        return steps

    def broken_at(self, point: Point, steps: list[Step]) -> list[str]:
        """What is wrong after the scenario broke at this point and everything was put in order again."""
        world = self._world("point")

        def act() -> Any:
            own = Steps()
            arm = lambda: own.arm(point.fault(world.images))  # noqa: E731 - a name for it says nothing more
            asyncio.run(run(world, SCENARIOS[self._scenario](), own, arm))

        if self._in_child(act, world, killed=point.killed) == "survived":
            return ["the process lived on where it was to be killed"]
        completed = point.completed(steps)
        return self._in_child(lambda: self._afterwards(world, completed, point), world)

    def _afterwards(self, world: World, completed: list[str], point: Point | None = None) -> list[str]:
        """Put the world in order as an operator does, and look; then the client repeats its request."""
        time.sleep(LEASE_S * 1.5)
        wrong = []
        _reconcile()
        again = _reconcile()
        if again != NOTHING:
            wrong.append(f"a second reconciliation found: {again}")
        wrong += violations(world) + _expected(world, self._scenario, completed, point)
        if self._scenario != "delete":
            asyncio.run(_repeat(world))
            wrong += [f"after a repeat: {what}" for what in violations(world)]
        return wrong

    def _world(self, name: str) -> World:
        folder = self._root / name
        shutil.rmtree(folder, ignore_errors=True)
        world = World(folder, self._mysql)
        world.begin(self._template)
        return world

    def _in_child(self, work: Callable[[], Any], world: World | None = None, *, killed: bool = False) -> Any:
        """The result of work done in a process of its own, which is one of this world."""
        result, log = self._root / "result", self._root / "log"
        result.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(fd, 2)
                if world is not None:
                    world.enter()
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
    """What `pixyproxy reconcile --apply` says."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(typer.Exit):
        reconcile(apply=True)
    return said.getvalue().strip()


async def _repeat(world: World) -> None:
    """The client repeats its request under the same key."""
    async with world.service(Steps()) as container:
        try:
            await make(world, container, SUBJECT)
        except PixyProxyException as error:
            world.tell(event="refused", kind=type(error).__name__, guid=error.guid, prompt=SUBJECT, code=error.code)
            if error.code != "generation-interrupted" or not error.replayed:
                raise


def _expected(world: World, scenario: str, completed: list[str], point: Point | None) -> list[str]:
    """What is known of the outcome from how far it had come, beyond what must always hold."""
    rows = [row for row in world.rows().values() if row.prompt == SUBJECT]
    status = rows[0].status if rows else None
    wrong = [f"{len(rows)} rows of one request"] if len(rows) > 1 else []
    if scenario == "delete":
        gone = "commit delete" in completed
        wrong += [f"half deleted: {rows}"] if gone != (status is None) or (rows and status != "ready") else []
    elif scenario == "update":
        name = "after.png" if "commit update" in completed else "before.png"
        wrong += [] if [row.filename for row in rows] == [name] else [f"not called {name}: {rows}"]
    elif scenario == "reconcile":
        wrong += [] if picture("deleted in part") in world.quarantined() else ["bytes without a row are gone"]
        wrong += [f"not adopted: {row}" for row in rows if row.status != "ready"]
    elif point is None or point.killed:
        wanted = "ready" if "rename image" in completed else "unknown" if "commit add_batches" in completed else None
        wrong += [f"{status} where {wanted} was to be expected"] if status != wanted else []
    else:
        wrong += _expected_of_error(world, status, point, completed)
    return wrong


def _expected_of_error(world: World, status: str | None, point: Point, completed: list[str]) -> list[str]:
    """A process that lives on loses nothing it has paid for, and says what was wrong."""
    wrong = []
    if world.charges(SUBJECT) and status != "ready":
        wrong.append(f"paid for, and {status}")
    refused = [fact for fact in world.told() if fact["event"] == "refused"]
    if point.step.is_commit:
        kinds = {"DBConnectionError"}
    else:
        kinds = {"BlobStoreFullError"} if "ENOSPC" in point.text else {"BlobStoreError"}
    wrong += [f"refused as {fact['kind']}" for fact in refused if fact["kind"] not in kinds]
    if "charge" in completed:
        wrong += [f"refused without the guid: {fact}" for fact in refused if not fact["guid"]]
    if not refused and not any(fact.get("prompt") == SUBJECT for fact in world.told()):
        wrong.append("neither made nor refused")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["kills", "errors"])
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--briefly", action="store_true", help="fewer ways of breaking each step")
    parser.add_argument("--mysql", type=json.loads, help="host, port, user, password and name as a JSON list")
    given = parser.parse_args()
    runner = Runner(given.folder.absolute(), given.scenario, MySQLSettings(*given.mysql) if given.mysql else None)
    steps = runner.count()
    points = list({"kills": kills, "errors": errors}[given.mode](steps, each_way=not given.briefly))
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
