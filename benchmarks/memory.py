"""Memory of a process and its descendants, and processor time, as Linux counts them."""

import os
from contextlib import suppress
from pathlib import Path

_RESET_PEAK = "5"


def reset_peak(pid: int) -> None:
    """Reset the peak of the process and its descendants (proc(5), `clear_refs`)."""
    for each in _family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            Path(f"/proc/{each}/clear_refs").write_text(_RESET_PEAK)


def peak_mb(pid: int) -> float:
    """Return the sum of their peaks of resident memory since `reset_peak`, in MB; shared pages count for each."""
    kilobytes = 0
    for each in _family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{each}/status").read_text().partition("VmHWM:")[2].split()
            kilobytes += int(words[0]) if words else 0  # a zombie has none
    return kilobytes * 1024 / 1_000_000


def processor_seconds(pid: int) -> float:
    """Return the processor time of the process until now, in user and system mode."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    """Return the ids of the process and its descendants."""
    found = [pid]
    for each in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found
