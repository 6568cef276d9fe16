"""Runs a job as one read or one transaction on a connection, and repeats it if that is safe."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from pixyproxy.adapters.mysql.connection import CONNECT_SECONDS, IS_READ_ONLY, ServerConnection, is_read_only
from pixyproxy.adapters.mysql.error_translation import BUSY, READ_ONLY, code_of, is_lost, refuses_writes, translate
from pixyproxy.adapters.sql.mapping import from_json
from pixyproxy.adapters.sql.session import Parameters, Row, Session, pyformat
from pixyproxy.domain.errors import DBConnectionError, PixyProxyException

_TRIES = 3
_ROWS_AT_ONCE = 1000
_MOST_AT_ONCE = 250_000
"""Characters of the statements in one packet, unless one statement is longer; servers accept a megabyte or more."""

_WRITE_NOTHING = "UPDATE images SET updated_at = updated_at WHERE 1 = 0"
"""A statement that servers refuse where they refuse all writes, or while the table that matters most is gone."""

T = TypeVar("T")


class MySQLSession(Session):
    """The statements of one job, none of which starts after the deadline.

    Several go to the server in one packet: at 32 clients, twice as many images are added and finished per second.
    """

    row_lock = " FOR UPDATE"
    shared_lock = " LOCK IN SHARE MODE"
    ordered_join = "STRAIGHT_JOIN"
    describe_tables = """SELECT c.TABLE_NAME, c.COLUMN_NAME, COALESCE(k.ORDINAL_POSITION, 0)
        FROM information_schema.COLUMNS AS c LEFT JOIN information_schema.KEY_COLUMN_USAGE AS k
            ON k.TABLE_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = c.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME
            AND k.CONSTRAINT_NAME = 'PRIMARY'
        WHERE c.TABLE_SCHEMA = DATABASE()"""

    def __init__(self, connection: "Connection[Any]", deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._later: list[str] = []
        self._last: list[str] = []
        self.committing = False

    def or_update(self, key: str) -> str:
        """Return ON DUPLICATE KEY UPDATE, which names no key."""
        return "ON DUPLICATE KEY UPDATE"

    def by_index(self, index: str) -> str:
        """Return FORCE INDEX: the server might choose an index that has the order but read all of it."""
        return f" FORCE INDEX ({index})"

    def fixed(self, column: str, parameter: str) -> str:
        """Return a range: with statistics of an emptier table the server would look up and sort all equal rows."""
        return f"{column} >= :{parameter} AND {column} <= :{parameter}"

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        self._check_deadline()
        with self._connection.cursor() as cursor:
            self._send(cursor, cursor.mogrify(pyformat(sql), dict(parameters)))
            rows: Sequence[Row] = cursor.fetchall()
            return rows

    def fetch_packed(self, columns: str, parts: Sequence[str], parameters: Parameters) -> Sequence[Row]:
        """Return the rows, each sent as one JSON array.

        The driver parses a description of every column of a result: for a row of twenty columns that takes as long as
        everything else, and half of the processor time of a read at 32 clients.
        """
        return [from_json(text) for (text,) in super().fetch_packed(f"JSON_ARRAY({columns})", parts, parameters)]

    def insert_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        return [int(cursor.lastrowid) for cursor in self._execute_each(sql, rows)]

    def insert_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        head, values, row = pyformat(sql).partition("VALUES ")
        # Rows share ids and words: escaping each value once makes a rebuild a quarter faster.
        with self._connection.cursor() as cursor:
            literal = lru_cache(maxsize=None, typed=True)(lambda value: cursor.mogrify("%s", (value,)))
            names = re.findall(r"%\((\w+)\)s", row)
            written = [row % {name: literal(parameters[name]) for name in names} for parameters in rows]
        while written:
            size = count = 0
            while count < min(len(written), _ROWS_AT_ONCE) and (size := size + len(written[count])) <= _MOST_AT_ONCE:
                count += 1
            self._do_later("".join([head, values, ", ".join(written[: count or 1])]))
            written = written[count or 1 :]

    def change_later(self, sql: str, parameters: Parameters) -> None:
        with self._connection.cursor() as cursor:
            self._do_later(cursor.mogrify(pyformat(sql), dict(parameters)))

    def change_last(self, sql: str, parameters: Parameters) -> None:
        with self._connection.cursor() as cursor:
            self._last.append(cursor.mogrify(pyformat(sql), dict(parameters)))

    def change_each(self, sql: str, each: Sequence[Parameters]) -> list[int]:
        return [int(cursor.rowcount) for cursor in self._execute_each(sql, each)]

    def begin(self) -> None:
        """Begin a transaction with the next statement."""
        self._do_later("BEGIN")

    def commit(self) -> None:
        """Make the last changes and commit the transaction, unless its caller already got a timeout error."""
        self._check_deadline()
        last, self._last = self._last, []
        for statement in last:
            self._do_later(statement)
        self.committing = True
        self._send(self._connection.cursor(), "COMMIT")
        self.committing = False

    def _execute_each(self, sql: str, each: Sequence[Parameters]) -> Iterator[Cursor]:
        """Yield a cursor with the result of the statement for each of these parameters in turn."""
        text = pyformat(sql)
        with self._connection.cursor() as cursor:
            statements = [cursor.mogrify(text, dict(parameters)) for parameters in each]
            while statements:
                self._check_deadline()
                size, count = 0, 0
                while count < len(statements) and (size := size + len(statements[count])) <= _MOST_AT_ONCE:
                    count += 1
                now, statements = statements[: count or 1], statements[count or 1 :]
                self._send(cursor, ";".join(now))
                yield cursor
                for _ in now[1:]:
                    cursor.nextset()
                    yield cursor

    def _do_later(self, statement: str) -> None:
        self._later.append(statement)
        if sum(map(len, self._later)) > _MOST_AT_ONCE:
            self._send(self._connection.cursor(), self._later.pop())

    def _send(self, cursor: Cursor, statement: str) -> None:
        """Execute the queued changes and then the statement, whose result the cursor has afterwards.

        The server stops at the first that fails, and its error is raised.
        """
        later, self._later = self._later, []
        cursor.execute(";".join([*later, statement]))
        for _ in later:
            cursor.nextset()

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise DBConnectionError("The database did not answer in time.")


def run_read(server: ServerConnection, deadline: float, job: Callable[[Session], T]) -> T:
    """Return the result of a job that only reads, outside any transaction."""
    return _run(server, deadline, job)


def require_writable(server: ServerConnection, deadline: float) -> None:
    """Raise DBConnectionError unless the server takes writes of this account; changes nothing.

    A privileged account may write to a server that is read-only, but what it writes is not on the others.
    """

    def ask(session: MySQLSession) -> None:
        if is_read_only(session.fetch(IS_READ_ONLY, {})[0]):
            raise pymysql.err.OperationalError(READ_ONLY, "read-only")
        session.change(_WRITE_NOTHING, {})

    _run(server, deadline, ask)


def run_write(
    server: ServerConnection,
    deadline: float,
    job: Callable[[Session], T],
    reread: Callable[[Session], T | None] | None,
    *,
    is_idempotent: bool = False,
    wait_for_locks: bool = True,
) -> T:
    """Return the result of a job that is one transaction.

    It is repeated after a deadlock or a lock timeout if `wait_for_locks`. If the connection is lost during the commit,
    the job is repeated if it `is_idempotent`, else `reread` finds the result if the transaction took effect.

    Raises:
        DBConnectionError: The server cannot be reached, or the outcome of the commit is unknown.
    """

    def transaction(session: MySQLSession) -> T:
        session.begin()
        result = job(session)
        session.commit()
        return result

    try:
        return _run(server, deadline, transaction, wait_for_locks=wait_for_locks)
    except _OutcomeUnknownError:
        if is_idempotent:
            return _run(server, deadline, transaction, wait_for_locks=wait_for_locks)
        result = reread and _run(server, deadline, reread)
        if result is None:
            raise
        return result


class _OutcomeUnknownError(DBConnectionError):
    """The connection was lost during a commit."""


def _run(
    server: ServerConnection, deadline: float, job: Callable[[MySQLSession], T], *, wait_for_locks: bool = True
) -> T:
    tries = 0
    while True:
        tries += 1
        session = MySQLSession(server.get(), deadline)
        try:
            return job(session)
        except (PixyProxyException, UnicodeEncodeError) as error:
            _roll_back(server)
            raise translate(error) if isinstance(error, UnicodeEncodeError) else error from error.__cause__
        except pymysql.MySQLError as error:
            lost, refused = is_lost(error), refuses_writes(error)
            if refused:
                server.end_era()
            elif lost:
                server.close()
            else:
                _roll_back(server)
            if lost and session.committing:
                raise _OutcomeUnknownError("The connection to the database was lost during a commit.") from error
            again = (lost or refused) and time.monotonic() + CONNECT_SECONDS < deadline
            again = again or (wait_for_locks and code_of(error) in BUSY)
            if tries >= _TRIES or not again:
                raise translate(error) from error
        except BaseException:
            server.close()
            raise


def _roll_back(server: ServerConnection) -> None:
    try:
        server.get().rollback()
    except (pymysql.MySQLError, DBConnectionError):
        server.close()
