"""Processes as Linux lists them; on other systems, as far as signals tell."""

import os
import re
import secrets
import socket
from functools import cached_property
from pathlib import Path

from pixyproxy.ports.process_monitor import ProcessMonitor

_NAME = re.compile(r"(?P<host>.+)-(?P<pid>[0-9]+)-(?P<birth>[0-9a-f]+)-(?P<namespace>[0-9a-f]+)-[0-9a-f]{8}")
_ENDED = frozenset({"Z", "X"})
"""States of a process that has ended and for which its parent has not waited yet."""


class SystemProcessMonitor(ProcessMonitor):
    """Names processes host-pid-birth-namespace-token.

    Its birth distinguishes a process from a later one with its pid, which in a container is always the same. The
    namespace distinguishes containers that share the name of their host: each counts its processes from 1.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._host = socket.gethostname()

    @cached_property
    def own_name(self) -> str:
        pid = os.getpid()
        _, birth = self._state_and_birth(pid) or ("", 0)
        return f"{self._host}-{pid}-{birth:x}-{self._namespace:x}-{secrets.token_hex(4)}"

    def is_alive(self, name: str) -> bool | None:
        match = _NAME.fullmatch(name)
        if match is None or match["host"] != self._host or int(match["namespace"], 16) != self._namespace:
            return None
        pid = int(match["pid"])
        found = self._state_and_birth(pid)
        if found is not None:
            state, birth = found
            return state not in _ENDED and birth == int(match["birth"], 16)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        except OverflowError:
            return None
        return True

    @cached_property
    def _namespace(self) -> int:
        try:
            return (self._proc / "self" / "ns" / "pid").stat().st_ino
        except OSError:
            return 0

    def _state_and_birth(self, pid: int) -> tuple[str, int] | None:
        """Return the state and start time (in ticks since the boot) of a process; None if /proc does not tell."""
        try:
            text = (self._proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return None
        # proc(5): pid (name) state …; the name may hold spaces and parentheses, and the start time is the 22nd field.
        fields = text.rpartition(")")[2].split()
        return fields[0], int(fields[19])
