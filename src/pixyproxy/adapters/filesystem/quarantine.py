"""Moving what is not in order out of the way, durably and without ever overwriting: blocking, raises OSError.

Bytes go before their sidecar: after a crash in between a sidecar alone is left, which is found and moved again.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

from pixyproxy.adapters.filesystem import durable
from pixyproxy.adapters.filesystem.layout import Layout
from pixyproxy.adapters.filesystem.scan import exists
from pixyproxy.adapters.filesystem.syscalls import SystemCalls


class Quarantine:
    """The folder `quarantine`: `GUID.<n>.bin` and `GUID.<n>.json` of an image, a number in other names too."""

    def __init__(self, layout: Layout, calls: SystemCalls) -> None:
        self._layout = layout
        self._calls = calls
        # Nobody takes a number between another's look at it and use of it. Another process that moves the same image
        # meanwhile finds its files gone; others are not written, since what is moved here has no row to be written for.
        self._lock = threading.Lock()

    def move_image(self, guid: str) -> Path | None:
        """Move bytes and sidecar under one number; return the new path of the first, None if there was neither."""
        return self._move_and_flush(guid, Path(self._layout.image(guid)), Path(self._layout.sidecar(guid)))

    def move_sidecar(self, guid: str) -> None:
        """Move a sidecar alone."""
        self._move_and_flush(guid, Path(self._layout.sidecar(guid)))

    def move_debris(self, folder: Path, paths: Iterable[Path]) -> int:
        """Move half-written files of a folder, which are not hidden any more then; return how many there were."""
        count = 0
        with self._lock:
            for path in paths:
                if not count:
                    self._make()
                # A sidecar kept aside is `GUID.<n>.json`, a temporary file `.GUID.<random>.tmp`: both get a new number.
                stem = path.stem if path.name.startswith(".") else path.stem.rpartition(".")[0]
                count += len(self._move(stem.removeprefix("."), path))
            if count:
                self._flush(folder)
        return count

    def _move_and_flush(self, guid: str, *sources: Path) -> Path | None:
        with self._lock:
            there = [source for source in sources if exists(self._calls, source)]
            if not there:
                return None
            self._make()
            moved = self._move(guid, *there)
            self._flush(there[0].parent)
        return moved[0] if moved else None

    def _move(self, stem: str, *sources: Path) -> list[Path]:
        suffixes = {".bin", ".json"} | {source.suffix for source in sources}
        number, folder = 1, self._layout.quarantine
        while any(exists(self._calls, folder / f"{stem}.{number}{suffix}") for suffix in suffixes):
            number += 1
        moved = []
        for source in sources:
            target = folder / f"{stem}.{number}{source.suffix}"
            try:
                self._calls.rename(source, target)
            except FileNotFoundError:
                continue
            moved.append(target)
        return moved

    def _make(self) -> None:
        durable.make_folder(self._calls, self._layout.quarantine)
        # Also if it was there: another process may have made it a moment ago and not flushed it yet.
        durable.flush_folder(self._calls, self._layout.root)

    def _flush(self, source: Path) -> None:
        durable.flush_folder(self._calls, self._layout.quarantine)
        durable.flush_folder(self._calls, source)
