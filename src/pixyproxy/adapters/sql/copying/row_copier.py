"""Copying rows between two SQL databases, part by part, so that a copy that was cut short goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from pixyproxy.adapters.sql.copying.tables import Table, tables_of
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.session import Parameters, Row, Session
from pixyproxy.domain.errors import DataValidationError, DBConnectionError, PixyProxyException, SchemaVersionError
from pixyproxy.ports.row_copier import ComparedTable, OnProgress, RowCopier

_IDS_AT_ONCE = 100


class _Part(NamedTuple):
    """The rows of a part of a table that only the source has, and that only the target has."""

    rows: int
    missing: Sequence[Row]
    extra: Sequence[Row]


class SQLRowCopier(RowCopier):
    """Copies rows from one SQL database to another, whose tables have the same columns."""

    def __init__(self, source: SQLDatabase, target: SQLDatabase) -> None:
        self._source = source
        self._target = target

    async def open(self) -> None:
        """Open both databases and check their tables."""
        await self._source.open(self)
        try:
            await self._target.open(self)
        except BaseException:
            await self._source.close(self)
            raise

    async def close(self) -> None:
        """Close both databases, unless others still use them."""
        await self._target.close(self)
        await self._source.close(self)

    async def is_empty(self) -> bool:
        def any_rows(session: Session) -> bool:
            return any(session.fetch(f"SELECT 1 FROM {name} LIMIT 1", {}) for name in tables_of(session))

        return not await self._target.read(any_rows)

    async def copy(self, on_progress: OnProgress) -> None:
        for table in await self._tables():
            async for part in self._parts(table, on_progress):
                if part.missing or part.extra:
                    await self._write(table, part)

    async def compare(self, on_progress: OnProgress) -> tuple[ComparedTable, ...]:
        compared = []
        for table in await self._tables():
            rows = different = 0
            async for part in self._parts(table, on_progress):
                rows += part.rows
                different += len(part.missing) + len(part.extra)
            compared.append(ComparedTable(table.name, rows, different))
        return tuple(sorted(compared))

    async def _tables(self) -> list[Table]:
        """Return the tables of both databases, which have to be the same.

        Raises:
            SchemaVersionError: They are not.
        """
        own, other = await asyncio.gather(self._source.read(tables_of), self._target.read(tables_of))
        for name in own.keys() | other.keys():
            if own.get(name) != other.get(name):
                raise SchemaVersionError(
                    f"The table {name} is not the same in both databases: run `pixyproxy migrate` on each of them."
                )
        return list(own.values())

    async def _parts(self, table: Table, on_progress: OnProgress) -> AsyncIterator[_Part]:
        column = table.id_column
        if column is None:
            on_progress(table.name, 0, 1)
            yield await self._part(table, table.select, {})
            on_progress(table.name, 1, 1)
            return
        [(last,)] = await self._source.read(
            lambda session: session.fetch(f"SELECT MAX({column}) FROM {table.name}", {})
        )
        after = -1
        while (end := await self._end(table, column, after)) is not None:
            where = f" WHERE {column} > :after AND {column} <= :end"
            yield await self._part(table, table.select + where, {"after": after, "end": end})
            after = end
            on_progress(table.name, after, max(after, last or 0))
        yield await self._part(table, f"{table.select} WHERE {column} > :after", {"after": after})

    async def _end(self, table: Table, column: str, after: int) -> int | None:
        """Return the last id of the part after this one, None at the end."""
        ids = (
            f"SELECT DISTINCT {column} AS id FROM {table.name} WHERE {column} > :after ORDER BY id LIMIT {_IDS_AT_ONCE}"
        )
        query = f"SELECT MAX(id) FROM ({ids}) AS ids"
        [(end,)] = await self._source.read(lambda session: session.fetch(query, {"after": after}))
        return None if end is None else int(end)

    async def _part(self, table: Table, query: str, values: Parameters) -> _Part:
        def fetch(session: Session) -> list[Row]:
            return [tuple(map(_text, row)) for row in session.fetch(query, values)]

        wanted, present = await asyncio.gather(self._source.read(fetch), self._target.read(fetch))
        own, other = set(wanted), set(present)
        missing = [row for row in wanted if row not in other]
        return _Part(len(wanted), missing, [row for row in present if row not in own])

    async def _write(self, table: Table, part: _Part) -> None:
        def write(session: Session) -> bool:
            session.change_each(table.delete, [table.values(row) for row in part.extra])
            session.insert_many(table.insert, [table.values(row) for row in part.missing])
            return True

        try:
            await self._target.write(write)
        except DBConnectionError:
            raise
        except PixyProxyException as error:
            raise DataValidationError(
                f"The database to copy to refuses rows of the table {table.name}: {error.message}"
            ) from error


def _text(value: Any) -> Any:
    """Return the value of a column; MySQL keeps search terms as bytes, SQLite as text."""
    return value.decode() if isinstance(value, bytes) else value
