"""Moving windows in an SQLite file, which the processes of one machine share."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pixyproxy.adapters.limits.window_storage import MAX_KEPT, WindowStorage, kind_of
from pixyproxy.ports.clock import Clock

_T = TypeVar("_T")

_BUSY_S = 2.0
"""Seconds to wait for other processes that write."""
_TRIM_EVERY = 100
"""Events between looks at how many are kept."""
_TABLE = """
CREATE TABLE IF NOT EXISTS events (kind TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS events_key ON events (key, at);
CREATE INDEX IF NOT EXISTS events_kind ON events (kind, at);
"""
_TRIM = """DELETE FROM events WHERE kind = :kind AND at <= coalesce(
    (SELECT at FROM events WHERE kind = :kind ORDER BY at DESC LIMIT 1 OFFSET :kept), 0)"""
_NEWEST = "DELETE FROM events WHERE rowid = (SELECT rowid FROM events WHERE key = :key ORDER BY at DESC LIMIT 1)"
_WINDOW = "SELECT min(at), count(*) FROM events WHERE key = :key AND at > :since"


class SQLiteWindowStorage(WindowStorage):
    """Keeps one row for each event; of each kind a bounded number of rows, which the oldest leave first.

    No event waits for the disk: after a loss of power the file may lack the last ones.
    """

    base_exceptions = (sqlite3.Error, OSError)

    def __init__(self, path: Path, clock: Clock, max_kept: int = MAX_KEPT) -> None:
        super().__init__(clock, max_kept)
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._acquired = 0

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.to_thread(connection.close)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now, kind = self._now(), kind_of(key)

        def acquire(connection: sqlite3.Connection) -> bool:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "DELETE FROM events WHERE kind = :kind AND at <= :since", {"kind": kind, "since": now - expiry}
            )
            _, count = connection.execute(_WINDOW, {"key": key, "since": now - expiry}).fetchone()
            if count + amount > limit:
                return False
            connection.executemany("INSERT INTO events VALUES (?, ?, ?)", [(kind, key, now)] * amount)
            self._acquired += 1
            if self._acquired % _TRIM_EVERY == 0:
                connection.execute(_TRIM, {"kind": kind, "kept": self._max_kept})
            return True

        return await self._run(acquire)

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._now()
        values = {"key": key, "since": now - expiry}
        oldest, count = await self._run(lambda connection: connection.execute(_WINDOW, values).fetchone())
        return (oldest, count) if count else (now, 0)

    async def release_entry(self, key: str) -> None:
        await self._run(lambda connection: connection.execute(_NEWEST, {"key": key}))

    async def _run(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.to_thread(self._transact, function)

    def _transact(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection:  # commits, or rolls back after an error
                return function(self._connection)

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLE)
        except BaseException:
            connection.close()
            raise
        return connection
