"""Brings an SQLite file to the schema this program needs, making the file if there is none."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from pixyproxy.adapters.sql.backfill import FILLS
from pixyproxy.adapters.sql.connection_pool import run_in_own_thread
from pixyproxy.adapters.sql.migrations import (
    PROBES,
    Script,
    load_scripts,
    pending,
    read_applied,
    record,
    split_statements,
)
from pixyproxy.adapters.sqlite.connection import BUSY_SECONDS, connect
from pixyproxy.adapters.sqlite.error_translation import is_busy, translate
from pixyproxy.adapters.sqlite.session import SQLiteSession

_PACKAGE = "pixyproxy.adapters.sqlite"


def _ignore(name: str) -> None:
    """Report to nobody."""


async def migrate(
    path: Path, on_script: Callable[[str], None] = _ignore, on_progress: Callable[[str], None] = _ignore
) -> list[str]:
    """Apply the scripts that are not applied yet, all or none; return their names.

    Makes the file and its folder if need be, the file readable by its owner alone, for it holds the roster.
    `on_script` is called with the name of each script before it is applied, `on_progress` now and then with a line
    about one that takes long. Raises SchemaVersionError if
    the file is of a newer version or was made with other scripts, DBConnectionError if it cannot be used.
    Several processes may call it at once.
    """
    loop = asyncio.get_running_loop()

    def report(name: str) -> None:
        loop.call_soon_threadsafe(on_script, name)

    def tell(line: str) -> None:
        loop.call_soon_threadsafe(on_progress, line)

    return await run_in_own_thread("sqlite-migrate", lambda: _migrate(path, report, tell))


def _migrate(path: Path, on_script: Callable[[str], object], tell: Callable[[str], object]) -> list[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(path)
        try:
            _use_wal(connection)
            done = _apply(connection, on_script, tell) if _pending(connection) else []
            for probe in PROBES:
                connection.execute(probe)
            return done
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise translate(error) from error


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait by itself for the lock that this change needs.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _pending(connection: sqlite3.Connection) -> list[Script]:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'")
    applied = read_applied(lambda sql: connection.execute(sql).fetchall()) if known.fetchone() else []
    return pending(load_scripts(_PACKAGE), applied)


def _apply(
    connection: sqlite3.Connection, on_script: Callable[[str], object], tell: Callable[[str], object]
) -> list[str]:
    done = []
    connection.execute("BEGIN IMMEDIATE")
    # Asked again under the lock: another process may have been quicker.
    for script in _pending(connection):
        on_script(script.name)
        for statement in split_statements(script.sql):
            connection.execute(statement)
        if fill := FILLS.get(script.version):
            fill(SQLiteSession(connection), tell)
        connection.execute(*record(script))
        done.append(script.name)
    connection.execute("COMMIT")
    return done
