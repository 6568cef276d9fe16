"""Brings an SQLite file to the schema this program needs, creating the file if there is none."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pixyproxy.adapters.sql.backfill import Report
from pixyproxy.adapters.sql.migrations import (
    PROBES,
    AppliedScript,
    Script,
    apply_pending,
    ignore,
    load_scripts,
    pending,
    read_applied,
    run_migration,
    split_statements,
)
from pixyproxy.adapters.sql.session import Session
from pixyproxy.adapters.sqlite.connection import BUSY_SECONDS, connect
from pixyproxy.adapters.sqlite.error_translation import is_busy, translate
from pixyproxy.adapters.sqlite.session import SQLiteSession

T = TypeVar("T")

_PACKAGE = "pixyproxy.adapters.sqlite"


async def migrate(path: Path, on_script: Report = ignore, on_progress: Report = ignore) -> list[str]:
    """Apply the scripts that are not applied yet, all or none; return their names.

    All but none: a script that fills a table image by image commits batches, and goes on where it was cut short.

    Creates the file and its folder if need be; only its owner can read the file, because it holds the roster.
    `on_script` is called with the name of each script before it is applied, `on_progress` now and then with a line
    about one that takes long. Several processes may migrate at once.

    Raises:
        SchemaVersionError: The file is of a newer, incompatible version or was made with other scripts.
        DBConnectionError: The file cannot be used.
    """
    return await run_migration(
        lambda on_script, on_progress: _migrate(path, on_script, on_progress), on_script, on_progress
    )


def _migrate(path: Path, on_script: Report, on_progress: Report) -> list[str]:
    try:
        path.parent.mkdir(0o750, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(path)
        try:
            _use_wal(connection)
            is_pending = pending(load_scripts(_PACKAGE), _applied(connection))
            done = _apply(connection, on_script, on_progress) if is_pending else []
            for probe in PROBES:
                connection.execute(probe)
            return done
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise translate(error) from error


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite itself does not wait for the lock that this change needs.
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


def _applied(connection: sqlite3.Connection) -> list[AppliedScript]:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'")
    return read_applied(SQLiteSession(connection)) if known.fetchone() else []


def _apply(connection: sqlite3.Connection, on_script: Report, on_progress: Report) -> list[str]:
    def run(script: Script) -> None:
        for statement in split_statements(script.sql):
            connection.execute(statement)

    session = SQLiteSession(connection)

    def transact(job: Callable[[Session], T]) -> T:
        result = job(session)
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        return result

    connection.execute("BEGIN IMMEDIATE")
    # Read again under the lock: another process may have been faster.
    done = apply_pending(
        session,
        load_scripts(_PACKAGE),
        _applied(connection),
        run,
        transact,
        on_script=on_script,
        on_progress=on_progress,
    )
    connection.execute("COMMIT")
    return done
