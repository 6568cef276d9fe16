"""How much memory a process takes, as Linux counts it."""

from pathlib import Path

_RESET_PEAK = "5"


def forget_peak(pid: int) -> None:
    """Begin to watch: the peak is from now on that of what follows (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def peak_mb(pid: int) -> float:
    """The most memory that a process had resident since `forget_peak`, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
    return kilobytes * 1024 / 1_000_000
