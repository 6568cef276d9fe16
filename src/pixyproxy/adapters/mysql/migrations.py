"""Brings a MySQL or MariaDB database to the schema this program needs, and checks that it is there."""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from pixyproxy.adapters.mysql.connection import Server
from pixyproxy.adapters.mysql.error_translation import (
    ABSENT_COLUMN_OR_INDEX,
    DATABASE_DENIED,
    DUPLICATE_COLUMN,
    DUPLICATE_INDEX,
    INDEX_TOO_LONG,
    NO_SUCH_TABLE,
    PRIVILEGE_DENIED,
    UNKNOWN_DATABASE,
    code_of,
    is_outage,
    translate,
)
from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.backfill import Report
from pixyproxy.adapters.sql.migrations import (
    PROBES,
    Script,
    apply_pending,
    ensure_current,
    ignore,
    load_scripts,
    read_applied,
    run_migration,
    split_statements,
)
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.errors import DBConnectionError, SchemaVersionError

T = TypeVar("T")

_PACKAGE = "pixyproxy.adapters.mysql"
_ADMINISTRATOR_SCRIPT = "0000_create_database_and_user.sql"
_PROBES = (
    *PROBES,
    # Searches force these indexes, and fail without one.
    "SELECT 1 FROM images FORCE INDEX (images_visible, images_owned, images_access) WHERE 1 = 0",
    "SELECT 1 FROM image_postings FORCE INDEX (image_postings_image) WHERE 1 = 0",
)
_LOCK_SECONDS = 60
"""Time limit for another migration of the same database."""
_STATEMENT_SECONDS = 3600
"""Time limit for one statement: changing a table of millions of rows takes long."""


async def migrate(server: Server, on_script: Report = ignore, on_progress: Report = ignore) -> list[str]:
    """Apply the scripts that are not applied yet, after creating the database if need be; return their names.

    `on_script` is called with the name of each script before it is applied, `on_progress` now and then with a line
    about one that takes long. Several processes may migrate at once.

    Raises:
        SchemaVersionError: The database is of a newer, incompatible version, was made with other scripts, or is missing
            and this user may not create it.
        DBConnectionError: The server cannot be reached.
    """
    return await run_migration(
        lambda on_script, on_progress: _migrate(server, on_script, on_progress), on_script, on_progress
    )


def check_schema(session: Session) -> None:
    """Raise SchemaVersionError unless this program can run on the schema of the database."""
    try:
        applied = read_applied(session)
    except pymysql.MySQLError as error:
        if code_of(error) != NO_SUCH_TABLE:
            raise
        applied = []
    ensure_current(load_scripts(_PACKAGE), applied)
    for probe in _PROBES:
        session.fetch(probe, {})


def lock_name(database: str) -> str:
    """Return the name of the lock that a migration holds; names are server-wide and have at most 64 characters."""
    return f"pixyproxy-migrate-{hashlib.sha256(database.encode()).hexdigest()[:32]}"


def _migrate(server: Server, on_script: Report, on_progress: Report) -> list[str]:
    try:
        _ensure_database(server)
        connection = server.connect(response_seconds=_STATEMENT_SECONDS)
        try:
            return _apply(connection, server.name, on_script, on_progress)
        finally:
            if connection.open:
                connection.close()
    except pymysql.MySQLError as error:
        raise translate(error) from error


def _ensure_database(server: Server) -> None:
    """Create the database if it is missing, with the usual short time limits: a server that hangs is noticed."""
    try:
        server.connect().close()
        return
    except pymysql.MySQLError as error:
        # The server does not reveal to a user without rights whether the database exists.
        if code_of(error) not in {UNKNOWN_DATABASE, DATABASE_DENIED}:
            raise
    connection = server.connect(to_database=False)
    try:
        with connection.cursor() as cursor:
            name = server.name.replace("`", "``")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    except pymysql.MySQLError as error:
        if code_of(error) not in {DATABASE_DENIED, PRIVILEGE_DENIED}:
            raise
        raise SchemaVersionError(
            f"The database {server.name} does not exist, or this user may neither use nor create it: "
            f"have an administrator run {_ADMINISTRATOR_SCRIPT}, or check DB_NAME and DB_USER."
        ) from error
    finally:
        if connection.open:
            connection.close()


def _apply(connection: "Connection[Any]", name: str, on_script: Report, on_progress: Report) -> list[str]:
    lock = lock_name(name)
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_wait_timeout = {_LOCK_SECONDS}")
        cursor.execute("SELECT GET_LOCK(%s, %s)", (lock, _LOCK_SECONDS))
        if cursor.fetchone() != (1,):
            raise DBConnectionError("Another process is still migrating the database: try again when it is done.")
        try:
            session = MySQLSession(connection, math.inf)
            cursor.execute("SHOW TABLES LIKE 'schema\\_migrations'")
            applied = read_applied(session) if cursor.fetchone() else []
            done = apply_pending(
                session,
                load_scripts(_PACKAGE),
                applied,
                lambda script: _run(cursor, script),
                partial(_transact, session),
                on_script=on_script,
                on_progress=on_progress,
            )
            for probe in _PROBES:
                cursor.execute(probe)
            return done
        finally:
            if connection.open:
                cursor.execute("SELECT RELEASE_LOCK(%s)", (lock,))


def _transact(session: MySQLSession, job: Callable[[Session], T]) -> T:
    session.begin()
    result = job(session)
    session.commit()
    return result


def _run(cursor: Cursor, script: Script) -> None:
    for statement in split_statements(script.sql):
        try:
            cursor.execute(_in_dynamic_rows(statement))
        except pymysql.MySQLError as error:
            if is_outage(error):
                raise
            if _is_done(statement, code_of(error)):
                continue
            if code_of(error) in INDEX_TOO_LONG:
                raise SchemaVersionError(
                    f"The script {script.name} does not run on this server: it takes no index as long as these "
                    f"(error {code_of(error)}). Its innodb_page_size must be 16K or more."
                ) from error
            raise SchemaVersionError(
                f"The script {script.name} does not run on this database (error {code_of(error)}): "
                "does it hold tables that are not those pixyproxy made?"
            ) from error


def _in_dynamic_rows(statement: str) -> str:
    """Return a statement that creates tables in the row format that long indexes need, whatever the server's default.

    Released scripts, which are never edited, leave it to the server.
    """
    return f"{statement} ROW_FORMAT = DYNAMIC" if statement.startswith("CREATE TABLE") else statement


def _is_done(statement: str, code: int) -> bool:
    """Return whether a statement fails because an earlier, interrupted run of the script has executed it.

    A server changes a table entirely or not at all. So a statement was executed if a column or index that it adds
    exists, or if it adds some and one that it drops is missing.
    """
    if not statement.startswith("ALTER TABLE"):
        return False
    return code in {DUPLICATE_COLUMN, DUPLICATE_INDEX} or (code == ABSENT_COLUMN_OR_INDEX and " ADD " in statement)
