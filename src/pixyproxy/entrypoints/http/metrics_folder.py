"""The folder in which the workers of one supervisor count their metrics together."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it has a random name and is this user's alone


@contextmanager
def metrics_folder(memory: Path = _MEMORY) -> Iterator[Path]:
    """Make an empty folder, in memory where there is such a file system, and remove it with its files."""
    place = memory if os.access(memory, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="pixyproxy-metrics-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
