"""The interface between the shared statements and an open transaction, and the form of their parameters."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

Row = Sequence[Any]
Parameters = Mapping[str, Any]


class Session(ABC):
    """A transaction, or a single read, on one connection; parameters in the SQL are written `:name`."""

    row_lock: str
    """Clause at the end of a SELECT that locks the rows it reads until the transaction ends."""

    shared_lock: str
    """Clause like `row_lock`: others may lock the rows in the same way, but not change them."""

    ordered_join: str
    """Join that reads the second table for each row of the first, never the other way round."""

    @abstractmethod
    def or_update(self, key: str) -> str:
        """Return the clause between an INSERT of one row and assignments to the row that has its `key` already."""

    describe_tables: str
    """Query for table, column, and its place in the primary key (0: none) of every column, in any order."""

    @abstractmethod
    def by_index(self, index: str) -> str:
        """Return the clause after a table in FROM that forces this index, `PRIMARY` for the key of the table."""

    @abstractmethod
    def fixed(self, column: str, parameter: str) -> str:
        """Return the condition that a column equals a parameter, in the form that reads an index in its order.

        Conditions on the next column of the index must follow, and ORDER BY must name all of its columns.
        """

    @abstractmethod
    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Return all rows of a query."""

    def fetch_packed(self, columns: str, parts: Sequence[str], parameters: Parameters) -> Sequence[Row]:
        """Return the rows of `SELECT columns part` for each part, a few hundred at most.

        Columns of text, times and integers only.
        """
        return self.fetch(" UNION ALL ".join(f"SELECT {columns} {part}" for part in parts), parameters)

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert a row and return its id."""
        return self.insert_each(sql, [parameters])[0]

    @abstractmethod
    def insert_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Insert rows in their order and return the id of each."""

    @abstractmethod
    def insert_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Insert any number of rows, at the time that `change_later` says."""

    @abstractmethod
    def change_later(self, sql: str, parameters: Parameters) -> None:
        """Insert, update or delete within a transaction, at the latest together with its next statement or commit.

        That saves round trips to a server; an error may be raised only by the later statement.
        """

    @abstractmethod
    def change_last(self, sql: str, parameters: Parameters) -> None:
        """Change as `change_later` does, but after everything else in the transaction.

        The locks on rows that many transactions change are then held only for the commit.
        """

    def change(self, sql: str, parameters: Parameters) -> int:
        """Update or delete and return how many rows matched."""
        return self.change_each(sql, [parameters])[0]

    @abstractmethod
    def change_each(self, sql: str, each: Sequence[Parameters]) -> list[int]:
        """Update or delete with each of these parameters in turn and return how many rows each matched."""


def in_list(values: Sequence[str], name: str = "value") -> tuple[str, Parameters]:
    """Return the list after IN for these values, at least one, and its parameters, whose names begin with `name`.

    The last value is repeated up to a power of two, so that there are few different statements to prepare.
    """
    count = 1 << (len(values) - 1).bit_length()
    names, text = _placeholders(count, name)
    padded = (*values, *[values[-1]] * (count - len(values))) if count > len(values) else values
    return text, dict(zip(names, padded, strict=True))


@lru_cache
def _placeholders(count: int, name: str) -> tuple[tuple[str, ...], str]:
    names = tuple(f"{name}{number}" for number in range(count))
    return names, "(" + ", ".join(f":{name}" for name in names) + ")"


_TOKEN = re.compile(r"'(?:[^']|'')*'|:([a-z]\w*)|%")


@lru_cache(maxsize=128)
def pyformat(sql: str) -> str:
    """Return the statement with `:name` written as `%(name)s` and literal `%` doubled."""

    def replace(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0].replace("%", "%%")

    return _TOKEN.sub(replace, sql)
