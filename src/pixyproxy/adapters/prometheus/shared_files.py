"""The files in which the workers of one machine count together."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

FILE_BYTES = 1024 * 1024
_KINDS = ("counter", "histogram", "gauge_livesum")


def share(folder: Path, worker: int) -> bool:
    """Have Prometheus's client keep the metrics of this process in files of a folder; call it before its first import.

    The files are those of the worker's number: the next worker of that number goes on counting in them, and begins
    its gauges anew. Their blocks are taken from the disk now, because a full disk kills a process that writes to a
    hole of a mapped file. Return False if there is no room: the process then counts for itself.
    """
    try:
        for kind in _KINDS:
            _reserve(folder / f"{kind}_{worker}.db", anew=kind.startswith("gauge"))
    except OSError as error:
        logger.warning("worker %d counts its metrics apart: %s", os.getpid(), error.strerror)
        return False
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]  # has no types
    return True


def _reserve(path: Path, *, anew: bool) -> None:
    if anew:
        path.unlink(missing_ok=True)
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_bytes(bytes(FILE_BYTES))
        new.replace(path)
