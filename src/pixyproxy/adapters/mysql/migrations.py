"""Brings a MySQL or MariaDB database to the schema this program needs, and checks that it is there."""

import asyncio
import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from pixyproxy.adapters.mysql.connection import Server
from pixyproxy.adapters.mysql.error_translation import (
    ABSENT_COLUMN_OR_INDEX,
    DATABASE_DENIED,
    DUPLICATE_COLUMN,
    DUPLICATE_INDEX,
    NO_SUCH_TABLE,
    PRIVILEGE_DENIED,
    UNKNOWN_DATABASE,
    code_of,
    is_outage,
    translate,
)
from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.backfill import FILLS
from pixyproxy.adapters.sql.connection_pool import run_in_own_thread
from pixyproxy.adapters.sql.migrations import (
    PROBES,
    Script,
    ensure_current,
    load_scripts,
    pending,
    read_applied,
    record,
    split_statements,
)
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.errors import DBConnectionError, SchemaVersionError

if TYPE_CHECKING:
    from pixyproxy.adapters.mysql.database import MySQLDatabase

_PACKAGE = "pixyproxy.adapters.mysql"
_ADMINISTRATOR_SCRIPT = "0000_create_database_and_user.sql"
_PROBES = (
    *PROBES,
    "SELECT 1 FROM images FORCE INDEX (images_visible, images_owned, images_created) WHERE 1 = 0",
    "SELECT 1 FROM image_tags FORCE INDEX (image_tags_tag) WHERE 1 = 0",
    "SELECT 1 FROM image_terms FORCE INDEX (image_terms_image) WHERE 1 = 0",
    "SELECT 1 FROM image_sources FORCE INDEX (image_sources_source) WHERE 1 = 0",
)
"""Searches name these indexes, and fail without one."""
_WAIT_FOR_OTHERS_SECONDS = 60
_STATEMENT_SECONDS = 3600
"""Changing a table of millions of rows takes its time."""


def _ignore(name: str) -> None:
    """Report to nobody."""


async def migrate(
    database: "MySQLDatabase",
    on_script: Callable[[str], None] = _ignore,
    on_progress: Callable[[str], None] = _ignore,
) -> list[str]:
    """Apply the scripts that are not applied yet, create the database before if need be; return their names.

    `on_script` is called with the name of each script before it is applied, `on_progress` now and then with a line
    about one that takes long. Raises SchemaVersionError if
    the database is of a newer version, was made with other scripts, or is missing and this user may not
    create it; DBConnectionError if the server cannot be reached. Several processes may call it at once.
    """
    loop = asyncio.get_running_loop()

    def report(name: str) -> None:
        loop.call_soon_threadsafe(on_script, name)

    def tell(line: str) -> None:
        loop.call_soon_threadsafe(on_progress, line)

    return await run_in_own_thread("mysql-migrate", lambda: _migrate(database.server, report, tell))


def check_schema(session: Session) -> None:
    """Raise SchemaVersionError unless the database is at exactly the version this program needs."""
    try:
        applied = read_applied(lambda sql: session.fetch(sql, {}))
    except pymysql.MySQLError as error:
        if code_of(error) != NO_SUCH_TABLE:
            raise
        applied = []
    ensure_current(load_scripts(_PACKAGE), applied)
    for probe in _PROBES:
        session.fetch(probe, {})


def lock_name(database: str) -> str:
    """The name of the lock that a migration of this database holds; names are server-wide, at most 64 characters."""
    return f"pixyproxy-migrate-{hashlib.sha256(database.encode()).hexdigest()[:32]}"


def _migrate(server: Server, on_script: Callable[[str], object], tell: Callable[[str], object]) -> list[str]:
    try:
        _ensure_database(server)
        connection = server.connect(answer_seconds=_STATEMENT_SECONDS)
        try:
            return _apply(connection, server.name, on_script, tell)
        finally:
            if connection.open:
                connection.close()
    except pymysql.MySQLError as error:
        raise translate(error) from error


def _ensure_database(server: Server) -> None:
    """Connect with the usual short patience, which a server that hangs does not survive, and create what is missing."""
    try:
        server.connect().close()
        return
    except pymysql.MySQLError as error:
        # A user without rights to a database is not told whether it exists.
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
            f"The database {server.name} does not exist or is closed to this user, who may not create it either: "
            f"have an administrator run {_ADMINISTRATOR_SCRIPT}, or check DB_NAME and DB_USER."
        ) from error
    finally:
        if connection.open:
            connection.close()


def _apply(
    connection: "Connection[Any]", name: str, on_script: Callable[[str], object], tell: Callable[[str], object]
) -> list[str]:
    lock = lock_name(name)
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_wait_timeout = {_WAIT_FOR_OTHERS_SECONDS}")
        cursor.execute("SELECT GET_LOCK(%s, %s)", (lock, _WAIT_FOR_OTHERS_SECONDS))
        if cursor.fetchone() != (1,):
            raise DBConnectionError("Another process is still migrating the database: try again when it is done.")
        try:
            session = MySQLSession(connection, math.inf)
            cursor.execute("SHOW TABLES LIKE 'schema\\_migrations'")
            applied = read_applied(lambda sql: session.fetch(sql, {})) if cursor.fetchone() else []
            done = []
            for script in pending(load_scripts(_PACKAGE), applied):
                on_script(script.name)
                _run(cursor, script)
                if fill := FILLS.get(script.version):
                    fill(session, tell)
                session.change(*record(script))
                done.append(script.name)
            for probe in _PROBES:
                cursor.execute(probe)
            return done
        finally:
            if connection.open:
                cursor.execute("SELECT RELEASE_LOCK(%s)", (lock,))


def _run(cursor: Cursor, script: Script) -> None:
    for statement in split_statements(script.sql):
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as error:
            if is_outage(error):
                raise
            if _is_done(statement, code_of(error)):
                continue
            raise SchemaVersionError(
                f"The script {script.name} does not run on this database (error {code_of(error)}): "
                "does it hold tables that are not those pixyproxy made?"
            ) from error


def _is_done(statement: str, code: int) -> bool:
    """Whether a statement fails because the script was cut short before, after it.

    A server changes a table wholly or not at all, so what finds one of its columns or indexes there has been done, and
    so has what adds some and finds gone what it drops.
    """
    if not statement.startswith("ALTER TABLE"):
        return False
    return code in {DUPLICATE_COLUMN, DUPLICATE_INDEX} or (code == ABSENT_COLUMN_OR_INDEX and " ADD " in statement)
