"""Compare ledger, client history, rows and files, each read without the service."""

import hashlib
import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixyproxy.adapters.filesystem.store_folder import MARKER
from tests.faults.charged import disagreements
from tests.faults.databases import Database
from tests.faults.history import History
from tests.faults.ledger import Ledger

_ROWS = "SELECT guid, status, prompt, sha256, size_bytes, error_code, tags FROM images ORDER BY id"


@dataclass(frozen=True, slots=True)
class Row:
    guid: str
    status: str
    prompt: str
    sha256: str | None
    size_bytes: int | None
    error_code: str | None
    tags: str


class Files:
    """The files in the folder of images, with a cache of their hashes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hashed: dict[str, tuple[tuple[int, ...], str]] = {}
        self.images: dict[str, str] = {}
        self.sidecars: dict[str, str] = {}
        self.aside: set[str] = set()
        self.strange: list[str] = []

    def read(self) -> None:
        """List all files again."""
        self.images, self.sidecars, self.aside, self.strange = {}, {}, set(), []
        for folder, folders, names in os.walk(self._root):
            below = Path(folder).relative_to(self._root)
            if below == Path():
                folders[:] = [name for name in folders if name not in {"quarantine", "derived"}]
            for name in names:
                stem, _, suffix = name.partition(".")
                path = f"{folder}/{name}"
                if path == f"{self._root}/{MARKER}":
                    continue
                if below.parts == ("aside",) and not name.startswith("."):
                    self.aside.add(stem)
                elif below.parts != (stem[:2], stem[2:4]) or suffix not in {"bin", "json"}:
                    self.strange.append(path)
                elif suffix == "bin":
                    self.images[stem] = path
                else:
                    self.sidecars[stem] = path

    def sha256(self, guid: str, *, anew: bool) -> str:
        path = self.images[guid]
        status = Path(path).stat()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._hashed.get(guid)
        if anew or known is None or known[0] != state:
            known = self._hashed[guid] = (state, hashlib.sha256(Path(path).read_bytes()).hexdigest())
        return known[1]

    def size(self, guid: str) -> int:
        return Path(self.images[guid]).stat().st_size

    def sidecar(self, guid: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(Path(self.sidecars[guid]).read_bytes())
        return document


class Audit:
    """Compares the four accounts."""

    def __init__(self, images_dir: Path, database: Database, ledger: Ledger, history: History) -> None:
        self._files = Files(images_dir)
        self._database = database
        self._ledger = ledger
        self._history = history
        self._known_sidecars: set[str] = set()
        self.statuses: Counter[str] = Counter()

    def problems(self, *, anew: bool = False) -> list[str]:
        """Return everything that is wrong; call it while nothing runs. With `anew`, hash all files again."""
        self._ledger.update()
        rows = [Row(*values) for values in self._database.query(_ROWS)]
        self._files.read()
        if anew:
            self._known_sidecars.clear()
        self.statuses = Counter(row.status for row in rows)
        return [
            *self._history.violations,
            *self._of_ledger(rows),
            *self._of_history({row.guid: row for row in rows}),
            *self._of_rows(rows, anew),
            *self._of_files({row.guid: row for row in rows}),
            *disagreements(self._database.query),
        ]

    def generating(self) -> int:
        """Return the number of rows that are still generating, or wait for their turn."""
        return int(self._database.query("SELECT COUNT(*) FROM images WHERE status IN ('generating', 'queued')")[0][0])

    def _of_ledger(self, rows: list[Row]) -> list[str]:
        problems = [f"charged {count} times: {prompt}" for prompt, count in self._ledger.charges.items() if count > 1]
        by_prompt: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_prompt[row.prompt].append(row)
        gone = {self._history.begun[guid] for guid in self._history.deleting}
        problems += [
            f"charged, and no row admits it: {prompt}: {by_prompt[prompt]}"
            for prompt in self._ledger.charges
            if prompt not in gone and not any(_admits_charge(row) for row in by_prompt[prompt])
        ]
        for row in rows:
            if row.prompt not in self._history.requested:
                problems.append(f"a row that was never requested: {row}")
            if row.status == "ready" and row.prompt not in self._ledger.pictures:
                problems.append(f"ready, and no picture was charged for: {row}")
        return problems

    def _of_history(self, rows: dict[str, Row]) -> list[str]:
        problems = []
        for guid, seen in self._history.ready.items():
            row = rows.get(guid)
            if guid in self._history.deleting and row is None:
                continue
            if row is None or (row.status, row.sha256, row.prompt) != ("ready", seen.sha256, seen.prompt):
                problems.append(f"acknowledged as {seen}, and now {row}")
        for guid, prompt in self._history.begun.items():
            if guid not in rows and guid not in self._history.deleting:
                problems.append(f"mentioned and without a row: {guid} {prompt}")
        for guid, tags in self._history.tags.items():
            if guid in rows and json.loads(rows[guid].tags) != tags:
                problems.append(f"tags {tags} were acknowledged: {rows[guid]}")
        problems += [f"deleted and still there: {rows[guid]}" for guid in self._history.deleted if guid in rows]
        return problems

    def _of_rows(self, rows: list[Row], anew: bool) -> list[str]:
        problems = []
        for row in rows:
            if row.status not in {"ready", "failed", "unknown"}:
                problems.append(f"not settled: {row}")
            if row.status != "ready":
                continue
            if row.guid not in self._files.images or row.guid not in self._files.sidecars:
                problems.append(f"ready without bytes or sidecar: {row}")
            elif self._files.size(row.guid) != row.size_bytes or self._files.sha256(row.guid, anew=anew) != row.sha256:
                problems.append(f"ready and not whole: {row}")
            elif row.guid not in self._known_sidecars:
                sidecar = self._files.sidecar(row.guid)
                if (sidecar["guid"], sidecar["sha256"], sidecar["prompt"]) != (row.guid, row.sha256, row.prompt):
                    problems.append(f"a sidecar that is not its row's: {row} {sidecar}")
                self._known_sidecars.add(row.guid)
        return problems

    def _of_files(self, rows: dict[str, Row]) -> list[str]:
        problems = [f"debris: {path}" for path in self._files.strange]
        for guid in self._files.images.keys() | self._files.sidecars.keys():
            if guid not in rows:
                problems.append(f"files without a row: {guid}")
            elif rows[guid].status != "ready":
                problems.append(f"files of a row that is not ready: {rows[guid]}")
        problems += [
            f"rescued for no reason: {guid} {rows.get(guid)}"
            for guid in self._files.aside - self._history.deleting
            if guid not in rows or rows[guid].status == "ready"
        ]
        return problems


def _admits_charge(row: Row) -> bool:
    return row.status in {"ready", "unknown"}
