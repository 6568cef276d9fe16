"""A database to break things on: the settings of a service that uses it, and a way to read it past that service."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database, shared_server

NAMES = ("sqlite", "mysql")


class Database(Protocol):
    """What both kinds have in common."""

    values: dict[str, str]
    """The settings of a pixyproxy process that is to use it."""

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own and return its rows."""


class MySQLDatabase:
    def __init__(self, settings: MySQLSettings) -> None:
        self._settings = settings
        self.values = {"PIXYPROXY_REPOSITORY": "mysql", **settings.environment()}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._settings.query(sql))


class SQLiteDatabase:
    """The file where a service that keeps everything below `folder` has its tables."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "data" / "pixyproxy.sqlite3"
        self.values = {"PIXYPROXY_REPOSITORY": "sqlite"}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            return connection.execute(sql).fetchall()


@contextmanager
def database(name: str, folder: Path) -> Iterator[Database]:
    """A database of this kind for a service in this folder; skips or fails the test where no MySQL server answers."""
    if name == "sqlite":
        yield SQLiteDatabase(folder)
    else:
        with fresh_database(shared_server()) as settings:
            yield MySQLDatabase(settings)
