"""Settings of the memory of a serving process, tried in a process of their own."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import gc, resource
from pixyproxy.entrypoints.http import memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

{first}
frozen = gc.get_freeze_count()
for _ in range(2):
    before = faults()
    pictures = [b"x" * 1_500_000 for _ in range(20)]
    del pictures
print(frozen, faults() - before)
"""

MANY_THREADS = """
import ctypes, threading
from pixyproxy.entrypoints.http import memory

{first}
all_there = threading.Barrier(8)

def work():
    kept = b"x" * 100_000
    all_there.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
out = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def outcome(first: str) -> tuple[int, int]:
    """How many objects are frozen, and the page faults of having twenty pictures in memory a second time."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)], capture_output=True, text=True, check=True
    )
    frozen, faults = done.stdout.split()
    return int(frozen), int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries are left as they are")
def test_what_is_freed_is_kept_for_the_next_picture() -> None:
    assert outcome("")[1] > 1000
    assert outcome("memory.keep_freed_memory()")[1] < 100


def stocks(first: str) -> int:
    """How many stocks of freed memory eight threads make."""
    done = subprocess.run(
        [sys.executable, "-c", MANY_THREADS.format(first=first)], capture_output=True, text=True, check=True
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="other C libraries are left as they are")
def test_threads_share_what_is_freed() -> None:
    assert stocks("") > 2
    assert stocks("memory.keep_freed_memory()") <= 2


def test_what_is_loaded_is_not_looked_through_again() -> None:
    assert outcome("")[0] == 0
    assert outcome("memory.settle()")[0] > 1000
