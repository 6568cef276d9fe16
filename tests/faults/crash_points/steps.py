"""Record the durable steps of the service, and break the one that a test chooses."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from pixyproxy.adapters.filesystem.durable_files import SystemCalls
from pixyproxy.domain.errors import DBConnectionError
from tests.fixtures.filesystem.calls import Call

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Step:
    """One step: its number, its name, and its file (None: not on the disk of images)."""

    number: int
    name: str
    path: Path | None = None
    fails: bool = False
    """True if it fails without a fault, such as an unlink of a file that does not exist."""

    @property
    def is_commit(self) -> bool:
        return self.name.startswith("commit ")

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


Fault = Callable[[Step, str], None]
"""A function that is called with each step and `before` or `after`; it may raise or kill the process."""


def no_fault(step: Step, when: str) -> None:
    """Break nothing."""


class Steps:
    """The steps between `arm` and `disarm`; outside of them nothing is recorded and nothing breaks."""

    def __init__(self) -> None:
        self.taken: list[Step] = []
        self.ended: list[Step] = []
        self._fault: Fault | None = None
        self._lock = threading.Lock()

    def arm(self, fault: Fault) -> None:
        """Count from zero again, and break what `fault` breaks."""
        self.taken, self.ended = [], []
        self._fault = fault

    def disarm(self) -> None:
        """Let disk and database work again."""
        self._fault = None

    def begin(self, name: str, path: Path | None = None) -> Step:
        """Record that a step is about to happen; any thread may call this."""
        with self._lock:
            step = Step(len(self.taken), name, path)
            if self._fault is not None:
                self.taken.append(step)
        self._reach(step, BEFORE)
        return step

    def end(self, step: Step) -> None:
        """Record that a step has happened; a step that fails never ends."""
        self.ended.append(step)
        self._reach(step, AFTER)

    @contextmanager
    def step(self, name: str, path: Path | None = None) -> Iterator[None]:
        """Treat the body as one step."""
        step = self.begin(name, path)
        yield
        self.end(step)

    def _reach(self, step: Step, when: str) -> None:
        if self._fault is not None:
            self._fault(step, when)


class SteppedCalls(SystemCalls):
    """Real system calls; each that changes something in a folder is a step."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._paths: dict[int, Path] = {}

    def open(self, path: str | Path, flags: int, mode: int = 0o666) -> int:
        if flags & os.O_CREAT:
            with self._step("create", Path(path)):
                fd = super().open(path, flags, mode)
        else:
            fd = super().open(path, flags, mode)
        self._paths[fd] = Path(path)
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        with self._step("write", self._paths[fd]):
            return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        with self._step("fsync", self._paths[fd]):
            super().fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        with self._step("rename", target):
            super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        with self._step("link", target):
            super().link(source, target)

    def unlink(self, path: Path) -> None:
        with self._step("unlink", path):
            super().unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        with self._step("mkdir", path):
            super().mkdir(path, mode)

    def _step(self, name: str, path: Path) -> Any:
        return self._steps.step(f"{name} {Call(name, path).kind}", path)


def watch_commits(database: Any, steps: Steps) -> None:
    """Make every commit of an SQLite or MySQL database a step, named by the transaction.

    Before the step, all statements are executed and the transaction is open; after it, the transaction is durable and
    no caller knows yet.
    """
    write, group_commit = database.write, database.group_commit
    begun: list[Step] = []

    @wraps(write)
    async def stepped(job: Callable[..., Any], **options: Any) -> Any:
        def statements(session: Any) -> Any:
            result = job(session)
            begun.append(steps.begin(f"commit {getattr(job, 'func', job).__name__}"))
            return result

        result = await write(statements, **options)
        steps.end(begun[-1])
        return result

    @wraps(group_commit)
    def stepped_groups(write_all: Callable[..., Any], **options: Any) -> Any:
        def statements(session: Any, items: Any) -> Any:
            result = write_all(session, items)
            begun.append(steps.begin(f"commit {write_all.__name__}"))
            return result

        write_one = group_commit(statements, **options)

        async def stepped_one(item: Any) -> Any:
            result = await write_one(item)
            steps.end(begun[-1])
            return result

        return stepped_one

    database.write, database.group_commit = stepped, stepped_groups


def killed_at(number: int, when: str) -> Fault:
    """Return a fault that kills the process at this moment, without handlers, flushes or clean-up."""

    def fault(step: Step, now: str) -> None:
        if (step.number, now) == (number, when):
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


def failing_at(number: int, code: int, disk: Path, *, when: str = BEFORE, lasting: bool = False) -> Fault:
    """Return a fault that fails a step: a commit like a lost database, any other with this errno.

    With `lasting` all of its kind fail from then on: every change below `disk`, or every commit.
    """
    of_database: list[bool] = []

    def fault(step: Step, now: str) -> None:
        if step.number == number and now == when:
            of_database.append(step.is_commit)
        elif not (lasting and of_database and now == BEFORE and step.is_commit == of_database[0]):
            return
        if step.is_commit:
            raise DBConnectionError("The database was lost.")
        if step.path is not None and (step.number == number or step.path.is_relative_to(disk)):
            raise OSError(code, os.strerror(code), str(step.path))

    return fault
