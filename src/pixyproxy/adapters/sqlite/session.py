"""Runs a job as one read or one transaction on a connection to the file."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pixyproxy.adapters.sql.session import Parameters, Row, Session
from pixyproxy.adapters.sqlite.connection import FileConnection
from pixyproxy.adapters.sqlite.error_translation import translate
from pixyproxy.domain.errors import DBConnectionError, PixyProxyException

_STEPS_BETWEEN_LOOKS = 50_000

T = TypeVar("T")


class SQLiteSession(Session):
    """The statements of one job."""

    ordered_join = "CROSS JOIN"
    row_lock = ""  # a writer has the whole file to itself

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def by_index(self, index: str) -> str:
        """Return INDEXED BY; the key of a table has no name in SQLite, which chooses it by itself."""
        return "" if index == "PRIMARY" else f" INDEXED BY {index}"

    def fixed(self, column: str, parameter: str) -> str:
        """Return an equation: SQLite uses the next column of an index only after one."""
        return f"{column} = :{parameter}"

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Return all rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert a row and return its id."""
        return self._connection.execute(sql, parameters).lastrowid or 0

    def insert_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Insert rows in their order and return the id of each."""
        return [self.insert(sql, parameters) for parameters in rows]

    def insert_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Insert any number of rows with one prepared statement."""
        self._connection.executemany(sql, rows)

    def change_later(self, sql: str, parameters: Parameters) -> None:
        """Insert, update or delete at once: there is no round trip to save."""
        self._connection.execute(sql, parameters)

    def change(self, sql: str, parameters: Parameters) -> int:
        """Update or delete and return how many rows matched."""
        return self._connection.execute(sql, parameters).rowcount

    def change_each(self, sql: str, each: Sequence[Parameters]) -> list[int]:
        """Update or delete with each of these parameters in turn and return how many rows each matched."""
        return [self.change(sql, parameters) for parameters in each]


def run_read(file: FileConnection, deadline: float, job: Callable[[Session], T]) -> T:
    """Return the result of a job that only reads, outside any transaction."""

    def read(connection: sqlite3.Connection) -> T:
        _limit(connection, deadline)
        return job(SQLiteSession(connection))

    return _run(file, read)


def run_write(file: FileConnection, deadline: float, job: Callable[[Session], T]) -> T:
    """Return the result of a job that is one transaction."""

    def transaction(connection: sqlite3.Connection) -> T:
        _limit(connection, deadline)
        connection.execute("BEGIN IMMEDIATE")
        result = job(SQLiteSession(connection))
        if time.monotonic() > deadline:
            # The caller was already given an error.
            raise DBConnectionError("The database did not answer in time.")
        connection.execute("COMMIT")
        return result

    return _run(file, transaction)


def _limit(connection: sqlite3.Connection, deadline: float) -> None:
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)


def _run(file: FileConnection, job: Callable[[sqlite3.Connection], T]) -> T:
    try:
        return job(file.get())
    except (PixyProxyException, UnicodeEncodeError, sqlite3.IntegrityError) as error:
        file.roll_back()
        if isinstance(error, PixyProxyException):
            raise
        raise translate(error) from error
    except (sqlite3.Error, OSError) as error:
        # A new connection is cheap, and after an error of the disk the only one to trust.
        file.close()
        raise translate(error) from error
    except BaseException:
        file.close()
        raise
