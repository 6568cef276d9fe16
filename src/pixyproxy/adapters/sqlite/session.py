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
    describe_tables = """SELECT m.name, p.name, p.pk FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'"""
    row_lock = shared_lock = ""  # a writer has the whole file to itself

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def or_update(self, key: str) -> str:
        """Return ON CONFLICT with the key."""
        return f"ON CONFLICT ({key}) DO UPDATE SET"

    def by_index(self, index: str) -> str:
        """Return INDEXED BY; the key of a table has no name in SQLite, which chooses it by itself."""
        return "" if index == "PRIMARY" else f" INDEXED BY {index}"

    def fixed(self, column: str, parameter: str) -> str:
        """Return an equation: SQLite uses the next column of an index only after one."""
        return f"{column} = :{parameter}"

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def insert_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        return [self._connection.execute(sql, parameters).lastrowid or 0 for parameters in rows]

    def insert_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        self._connection.executemany(sql, rows)

    def change_later(self, sql: str, parameters: Parameters) -> None:
        self._connection.execute(sql, parameters)

    def change_last(self, sql: str, parameters: Parameters) -> None:
        """Change now: a writer has the whole file to itself anyway."""
        self.change_later(sql, parameters)

    def change_each(self, sql: str, each: Sequence[Parameters]) -> list[int]:
        return [self._connection.execute(sql, parameters).rowcount for parameters in each]


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
            # The caller already got an error.
            raise DBConnectionError("The database did not answer in time.")
        connection.execute("COMMIT")
        return result

    return _run(file, transaction)


def run_point_read(file: FileConnection, job: Callable[[Session], T]) -> T:
    """Return the result of a job that reads by a unique key; raises LockedError if it would have to wait."""
    return _run(file, lambda connection: job(SQLiteSession(connection)))


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
