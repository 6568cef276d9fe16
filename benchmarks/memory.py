"""How much memory a process and those that it has started take, as Linux counts it."""

from contextlib import suppress
from pathlib import Path

_RESET_PEAK = "5"


def forget_peak(pid: int) -> None:
    """Begin to watch: the peak is from now on that of what follows (proc(5), `clear_refs`)."""
    for each in _family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            Path(f"/proc/{each}/clear_refs").write_text(_RESET_PEAK)


def peak_mb(pid: int) -> float:
    """The most memory that they had resident since `forget_peak`, in MB: the peaks of all that run now.

    What they share is counted for each.
    """
    kilobytes = 0
    for each in _family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{each}/status").read_text().partition("VmHWM:")[2].split()
            kilobytes += int(words[0]) if words else 0  # one that has ended and is still to be waited for has none
    return kilobytes * 1024 / 1_000_000


def _family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for each in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found
