"""The quarantine: files that are not in order are moved there durably, and nothing is overwritten.

Bytes are moved before their sidecar: a crash in between leaves a sidecar alone, which is found and moved later.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

from pixyproxy.adapters.filesystem import durable_files
from pixyproxy.adapters.filesystem.scan import exists
from pixyproxy.adapters.filesystem.store_folder import StoreFolder
from pixyproxy.domain.errors import BlobMissingError


class Quarantine:
    """The folder `quarantine`: `GUID.<n>.bin` and `GUID.<n>.json` of an image; other names get a number too.

    The methods block and raise OSError.
    """

    def __init__(self, folder: StoreFolder) -> None:
        self._store = folder
        self._calls = folder.calls
        # No other thread takes a number between the search for it and its use. Another process that moves the same
        # image finds its files gone; nothing writes new ones, because a quarantined image has no row.
        self._lock = threading.Lock()

    def move_image(self, guid: str) -> str:
        """Move bytes and sidecar under one number and return the new path of the bytes, or of a sidecar alone.

        Raises BlobMissingError if there is neither.
        """
        self._store.require_present()
        moved = self._move_and_flush(guid, Path(self._store.image(guid)), Path(self._store.sidecar(guid)))
        if moved is None:
            self._store.require_present()
            raise BlobMissingError("The blob store has neither bytes nor sidecar of the picture.")
        return str(moved)

    def move_sidecar(self, guid: str) -> None:
        """Move a sidecar alone."""
        self._move_and_flush(guid, Path(self._store.sidecar(guid)))

    def move_debris(self, folder: Path, paths: Iterable[Path]) -> int:
        """Move half-written files of a folder, which get names that are not hidden; return how many there were."""
        count = 0
        with self._lock:
            for path in paths:
                if not count:
                    self._make()
                # A rescued sidecar is `GUID.<n>.json`, a temporary file `.GUID.<random>.tmp`: both get a new number.
                stem = path.stem if path.name.startswith(".") else path.stem.rpartition(".")[0]
                count += len(self._move(stem.removeprefix("."), path))
            if count:
                self._flush(folder)
        return count

    def _move_and_flush(self, guid: str, *sources: Path) -> Path | None:
        with self._lock:
            existing = [source for source in sources if exists(self._calls, source)]
            if not existing:
                return None
            self._make()
            moved = self._move(guid, *existing)
            self._flush(existing[0].parent)
        return moved[0] if moved else None

    def _move(self, stem: str, *sources: Path) -> list[Path]:
        suffixes = {".bin", ".json"} | {source.suffix for source in sources}
        number, folder = 1, self._store.quarantine
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
        durable_files.make_folder(self._calls, self._store.quarantine)
        # Flushed also if it existed: another process may have created it a moment ago.
        durable_files.flush_folder(self._calls, self._store.root)

    def _flush(self, source: Path) -> None:
        durable_files.flush_folder(self._calls, self._store.quarantine)
        durable_files.flush_folder(self._calls, source)
