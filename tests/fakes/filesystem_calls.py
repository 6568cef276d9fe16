"""System calls of the filesystem store that are real, but recorded, and fail where a test says so."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixyproxy.adapters.filesystem.syscalls import SystemCalls


@dataclass(frozen=True)
class Call:
    """One system call: its name and the file it was about (for a rename: the target)."""

    name: str
    path: Path

    @property
    def kind(self) -> str:
        """What the file is: `image`, `sidecar`, `temporary`, `backup` or `folder`."""
        if self.path.name.endswith(".bin"):
            return "image"
        if self.path.name.endswith(".json"):
            return "sidecar"
        if self.path.name.endswith(".tmp"):
            return "temporary"
        return "backup" if self.path.name.endswith(".old") else "folder"

    def __str__(self) -> str:
        return f"{self.name} {self.kind}"


class FaultyCalls(SystemCalls):
    """Records every call that changes something; `fails(call, number)` gives the errno it ends with, or None."""

    def __init__(self, fails: Callable[[Call, int], int | None] = lambda call, number: None) -> None:
        self.fails = fails
        self.calls: list[Call] = []
        self._paths: dict[int, Path] = {}
        self._lock = threading.Lock()

    def _record(self, name: str, path: Path) -> None:
        with self._lock:
            call, number = Call(name, path), len(self.calls)
            self.calls.append(call)
        code = self.fails(call, number)
        if code is not None:
            raise OSError(code, os.strerror(code), str(path))

    def open(self, path: str | Path, flags: int, mode: int = 0o666) -> int:
        self._record("create" if flags & os.O_CREAT else "open", Path(path))
        fd = super().open(path, flags, mode)
        self._paths[fd] = Path(path)
        return fd

    def close(self, fd: int) -> None:
        path = self._paths.pop(fd)
        super().close(fd)
        self._record("close", path)

    def write(self, fd: int, data: memoryview) -> int:
        self._record("write", self._paths[fd])
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._record("fsync", self._paths[fd])
        super().fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        self._record("rename", target)
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._record("link", target)
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._record("unlink", path)
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self._record("mkdir", path)
        super().mkdir(path)

    def status(self, fd: int) -> os.stat_result:
        self._record("status", self._paths[fd])
        return super().status(fd)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._record("pread", self._paths.get(fd, Path("?")))
        return super().pread(fd, length, offset)

    def pread_nowait(self, fd: int, length: int, offset: int) -> bytes:
        self._record("pread_nowait", self._paths[fd])
        return super().pread_nowait(fd, length, offset)
