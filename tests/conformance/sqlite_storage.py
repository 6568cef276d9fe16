"""A look at an SQLite file past the adapter, shared by the suites of its repositories."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any


class SQLiteFile:
    """A file, which the repositories under test make."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "pixyproxy.db"

    def query(self, sql: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
        """Run one statement as the sqlite3 shell would, foreign keys not enforced."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(sql, parameters).fetchall()

    def count(self, *tables: str) -> int:
        """How many rows these tables have."""
        return sum(self.query(f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables)

    def open_handles(self) -> int:
        """Threads of the adapter, and descriptors of the file, its log and its index."""
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-")]
        files = [link for link in Path("/proc/self/fd").iterdir() if _target(link).startswith(str(self.path))]
        return len(threads) + len(files)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
