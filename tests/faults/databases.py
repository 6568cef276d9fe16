"""Databases for fault tests: the settings of a service that uses one, and a way to query it directly."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database, shared_server

NAMES = ("sqlite", "mysql")


class Database(Protocol):
    """A database of a service."""

    values: dict[str, str]
    """The settings of a pixyproxy process that uses it."""

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own and return its rows."""


class MySQLDatabase:
    def __init__(self, settings: MySQLSettings) -> None:
        self._settings = settings
        self.values = {"PIXYPROXY_REPOSITORY": "mysql", **settings.environment()}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._settings.query(sql))


class SQLiteDatabase:
    """The SQLite file of a service that keeps everything below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "data" / "pixyproxy.sqlite3"
        self.values = {"PIXYPROXY_REPOSITORY": "sqlite"}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            return connection.execute(sql).fetchall()


@contextmanager
def database(name: str, folder: Path) -> Iterator[Database]:
    """Yield a database for a service in this folder; skip or fail the test where no MySQL server answers."""
    if name == "sqlite":
        yield SQLiteDatabase(folder)
    else:
        with fresh_database(shared_server()) as settings:
            yield MySQLDatabase(settings)
