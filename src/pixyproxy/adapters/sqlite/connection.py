"""Opens connections to an SQLite file and notices when the file is no longer the one that was opened."""

import sqlite3
from pathlib import Path

from pixyproxy.adapters.sqlite.error_translation import MISSING
from pixyproxy.domain.errors import DBConnectionError

BUSY_SECONDS = 4.0


def connect(path: Path, *, query_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection to an existing file, without a transaction begun; raises sqlite3.Error.

    Every commit is synchronised with the disk (with less, WAL loses commits when the power fails).
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,  # it is closed by another thread than used it
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # In KiB, taken as needed: of a large file the default, two megabytes, holds too little of the indexes.
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute(f"PRAGMA query_only = {int(query_only)}")
    except BaseException:
        connection.close()
        raise
    return connection


class FileConnection:
    """One thread's connection to the file: opened when needed, and anew when the file was replaced."""

    def __init__(self, path: Path, *, query_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = path
        self._query_only = query_only
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)

    def get(self) -> sqlite3.Connection:
        """The open connection; raises sqlite3.Error, OSError, or DBConnectionError where the file is gone.

        A file that was deleted would go on taking writes which nobody could ever read: so each call looks.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self.close()
            raise DBConnectionError(MISSING) from None
        file = (status.st_dev, status.st_ino)
        if self._connection is None or file != self._file:
            self.close()
            self._connection = connect(self._path, query_only=self._query_only, busy_seconds=self._busy_seconds)
            self._file = file
        return self._connection

    def roll_back(self) -> None:
        """Undo the transaction that is open, if one is."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
