"""Settings of the process's memory that suit a server which hands out pictures."""

import ctypes
import gc
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEEP_BYTES = 64 * 1024 * 1024
"""How much freed memory is kept for what comes next: some dozens of pictures under way."""
_LARGE_BYTES = 8 * 1024 * 1024
"""What is larger is got from the system and given back at once."""
_ARENAS = 2
"""How many stocks of freed memory there are. Each thread would have one, and what is in one is of no use to another."""


def settle() -> None:
    """Make the memory ready to serve; to be called when all is loaded and nothing is under way yet."""
    # What is loaded by now stays. To look through all of it for garbage stops every request meanwhile.
    gc.collect()
    gc.freeze()


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for whichever thread needs it next; to be called before there are threads.

    Otherwise each picture is read into memory that the kernel has to find and clear first, page by page,
    and that is given back a moment later: this takes it longer than reading the picture. Other C libraries have no
    such call, and are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)
