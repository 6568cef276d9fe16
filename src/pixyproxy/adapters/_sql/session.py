"""What the shared statements need of an open transaction, and how their parameters are written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

Row = Sequence[Any]
Parameters = Mapping[str, Any]


class Session(Protocol):
    """A transaction, or a single read, on one connection; parameters in the SQL are written `:name`."""

    row_lock: str
    """What follows a SELECT that locks the row it reads until the transaction ends."""

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """All rows of a query."""

    def fetch_one(self, columns: str, rest: str, parameters: Parameters) -> Row | None:
        """The one row of `SELECT columns rest`, or None; for columns of text, times and whole numbers."""

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert one row and return the id it was given."""

    def insert_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Insert any number of rows, in as many statements as the server's limits ask for."""

    def change(self, sql: str, parameters: Parameters) -> int:
        """Update or delete and return how many rows matched."""


_TOKEN = re.compile(r"'(?:[^']|'')*'|:([a-z]\w*)|%")


@lru_cache(maxsize=128)
def pyformat(sql: str) -> str:
    """The statement with `:name` written as `%(name)s` and literal `%` doubled."""

    def replace(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0].replace("%", "%%")

    return _TOKEN.sub(replace, sql)
