"""The one place where SQLite's errors become domain errors, by result code.

Codes: https://www.sqlite.org/rescode.html
"""

import sqlite3

from pixyproxy.adapters.sql.migrations import foreign_tables
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    DBRefusedError,
    PixyProxyException,
)

_BUSY = "The database file is locked by another process."
_SLOW = "The database did not answer in time."
_DAMAGED = "The database file in PIXYPROXY_DATA_DIR is damaged or no SQLite database: restore it from a backup."
_UNREADABLE = (
    "The database file in PIXYPROXY_DATA_DIR cannot be opened or written: check the folder and its permissions."
)
READ_ONLY = (
    "The database file in PIXYPROXY_DATA_DIR, or its folder, is read-only: check permissions and the file system."
)
MISSING = "The database file in PIXYPROXY_DATA_DIR is gone: put it back, or restart to begin with an empty one."

_OUTAGES = {
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_INTERRUPT: _SLOW,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _UNREADABLE,
    sqlite3.SQLITE_PERM: _UNREADABLE,
    sqlite3.SQLITE_AUTH: _UNREADABLE,
    sqlite3.SQLITE_IOERR: "The disk failed under the database file in PIXYPROXY_DATA_DIR.",
    sqlite3.SQLITE_FULL: "No space is left for the database file in PIXYPROXY_DATA_DIR.",
    sqlite3.SQLITE_NOMEM: "No memory is left for the database.",
}


class LockedError(DBConnectionError):
    """Another connection held the lock for longer than this one waits."""


def primary_code(error: sqlite3.Error) -> int | None:
    """Return the result code of an error without its extension; None if the error is the driver's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection held the lock."""
    return primary_code(error) == sqlite3.SQLITE_BUSY


def translate(error: sqlite3.Error | UnicodeEncodeError | OSError) -> PixyProxyException:
    """Return the domain error for an error of the driver or the file system; its message has no path and no SQL."""
    if isinstance(error, UnicodeEncodeError):
        return DataValidationError("A text holds lone surrogates, which are no characters.")
    if isinstance(error, OSError):
        return DBRefusedError(_UNREADABLE)
    code = primary_code(error)
    if code == sqlite3.SQLITE_BUSY:
        return LockedError(_BUSY)
    if code in _OUTAGES:
        message = _OUTAGES[code]
        return (DBConnectionError if message in {_BUSY, _SLOW} else DBRefusedError)(message)
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConstraintViolationError("The database already holds a record of this name.")
    if code == sqlite3.SQLITE_ERROR:
        # The statements are constant: an error in one means that a table or column is missing.
        return foreign_tables()
    if code is None and isinstance(error, sqlite3.OperationalError):
        # The driver's only error of this class: a stored text is not UTF-8.
        return DBRefusedError(_DAMAGED)
    return PixyProxyException(f"The database refuses a statement (error {code}).")
