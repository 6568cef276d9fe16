"""Opens connections to an SQLite file, and opens them again when the file was replaced."""

import sqlite3
from pathlib import Path

from pixyproxy.adapters.sqlite.error_translation import MISSING
from pixyproxy.domain.errors import DBConnectionError

BUSY_SECONDS = 4.0


def connect(path: Path, *, query_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Return a connection to an existing file, in autocommit mode; raises sqlite3.Error.

    Every commit is flushed to the disk: with less, WAL loses commits when the power fails.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,  # the thread that closes it did not open it
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # KiB, allocated as needed: the default of two megabytes holds too little of the indexes of a large file.
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute(f"PRAGMA query_only = {int(query_only)}")
    except BaseException:
        connection.close()
        raise
    return connection


class FileConnection:
    """A thread's connection to the file: opened when needed, and again after the file was replaced."""

    def __init__(self, path: Path, *, query_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = path
        self._query_only = query_only
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)

    def get(self) -> sqlite3.Connection:
        """Return the open connection; raises sqlite3.Error, OSError, or DBConnectionError if the file is gone.

        Every call checks: a deleted file would still accept writes, which would be lost.
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
        """Roll back the open transaction, if there is one."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
