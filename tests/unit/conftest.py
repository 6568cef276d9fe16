"""Hold unit tests to memory: a test that writes to a disk, uses a socket or starts a process fails."""

import os
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import pytest

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "sqlite3.connect",
    "subprocess.Popen",
}
"""Audit events of Python that no unit test may cause."""
TOOLS = {".hypothesis", "__pycache__"}
"""Folders in which Hypothesis and Python keep files of their own."""

_violations: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _violations is None or not (event in FORBIDDEN or _opens_for_writing(event, arguments)):
        return
    if isinstance(arguments[0], str) and TOOLS & set(PurePath(arguments[0]).parts):
        return
    _violations.append(f"{event} {arguments[:3]!r}")


def _opens_for_writing(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open" or not isinstance(arguments[0], (str, bytes)) or arguments[0] == os.devnull:
        return False
    return bool(arguments[2] & WRITING)


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def in_memory_only() -> Iterator[None]:
    """Fail a test that touched a disk or a socket; it belongs to tests/integration."""
    global _violations
    found = _violations = []
    yield
    _violations = None
    if found:
        pytest.fail(f"not a unit test (see {__file__}): {'; '.join(found[:5])}", pytrace=False)
