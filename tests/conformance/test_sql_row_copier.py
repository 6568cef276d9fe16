"""SQLRowCopier: the port's contract, in both directions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapter_choices import mysql_repositories, sqlite_repositories
from pixyproxy.adapters.sql.copying.row_copier import SQLRowCopier
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import DBConnectionError, SchemaVersionError
from pixyproxy.plugins import Repositories
from tests.conformance.contracts.row_copier import CopiedStorage, RowCopierContract, ignore
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class TwoDatabases(CopiedStorage):
    def __init__(self, file: SQLiteFile, server: MySQLSettings, *, to_mysql: bool) -> None:
        self.file = file
        self.server = server
        self.to_mysql = to_mysql

    def copier(self) -> SQLRowCopier:
        sqlite, mysql = SQLiteDatabase(self.file.path), self.server.database()
        return SQLRowCopier(sqlite, mysql) if self.to_mysql else SQLRowCopier(mysql, sqlite)

    def source(self) -> Repositories:
        return self._repositories(mysql=not self.to_mysql)

    def target(self) -> Repositories:
        return self._repositories(mysql=self.to_mysql)

    def query_source(self, sql: str) -> Sequence[tuple[Any, ...]]:
        return self._query(sql, mysql=not self.to_mysql)

    def query_target(self, sql: str) -> Sequence[tuple[Any, ...]]:
        return self._query(sql, mysql=self.to_mysql)

    @contextmanager
    def target_without_equal_caps(self) -> Iterator[None]:
        self.query_target("CREATE UNIQUE INDEX equal_caps ON budgets (cap)")
        yield
        self.query_target("DROP INDEX equal_caps" + (" ON budgets" if self.to_mysql else ""))

    def _query(self, sql: str, *, mysql: bool) -> Sequence[tuple[Any, ...]]:
        return self.server.query(sql) if mysql else self.file.query(sql)

    def _repositories(self, *, mysql: bool) -> Repositories:
        if mysql:
            return mysql_repositories(self.server.database())
        return sqlite_repositories(SQLiteDatabase(self.file.path))


class TestSQLRowCopier(RowCopierContract):
    adapter = SQLRowCopier

    @pytest.fixture(params=["mysql", "sqlite"])
    def storage(
        self, request: pytest.FixtureRequest, tmp_path: Path, empty_mysql: MySQLSettings
    ) -> Iterator[TwoDatabases]:
        return TwoDatabases(SQLiteFile(tmp_path), empty_mysql, to_mysql=request.param == "mysql")

    async def test_tables_that_differ_are_named(self, copier: SQLRowCopier, storage: TwoDatabases) -> None:
        storage.file.query("ALTER TABLE budgets ADD COLUMN colour TEXT")
        with pytest.raises(SchemaVersionError, match="table budgets is not the same"):
            await copier.copy(ignore)


async def test_nothing_stays_open_if_the_target_cannot_be_opened(tmp_path: Path, mysql_server: MySQLSettings) -> None:
    file = SQLiteFile(tmp_path)
    wrong = replace(mysql_server, port=1).database()
    copier = SQLRowCopier(SQLiteDatabase(file.path), wrong)
    with pytest.raises(DBConnectionError):
        await copier.open()
    assert file.open_handles() == 0
    await copier.close()
