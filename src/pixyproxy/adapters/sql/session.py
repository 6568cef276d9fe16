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

    ordered_join: str
    """Joins a table that is to be read for each row of the one before, and never the other way round."""

    def by_index(self, index: str) -> str:
        """What follows the name of a table in FROM that is read by this index, `PRIMARY` for its key, and no other."""

    def fixed(self, column: str, parameter: str) -> str:
        """The condition that a column equals a parameter, so written that an index is read in its order from there.

        To be followed by conditions on the next column of the index, and with all of its columns in ORDER BY.
        """

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """All rows of a query."""

    def fetch_few(self, columns: str, rest: str, parameters: Parameters) -> Sequence[Row]:
        """The rows of `SELECT columns rest`, some hundreds at most; for columns of text, times and whole numbers."""

    def fetch_one(self, columns: str, rest: str, parameters: Parameters) -> Row | None:
        """The one row of `SELECT columns rest`, or None; for columns of the same kinds."""

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert one row and return the id it was given."""

    def insert_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Insert rows one after the other and return the id that each was given."""

    def insert_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Insert any number of rows, in as many statements as the server's limits ask for; `change_later` says when."""

    def change_later(self, sql: str, parameters: Parameters) -> None:
        """Insert, update or delete where nobody asks how many rows; only within a transaction.

        It happens before the next statement and before the commit, at the latest together with them: where there is
        a way to the server it is gone once for all of them. So an error may show there, and not here.
        """

    def change(self, sql: str, parameters: Parameters) -> int:
        """Update or delete and return how many rows matched."""

    def change_each(self, sql: str, each: Sequence[Parameters]) -> list[int]:
        """The same with each of these parameters, one after the other, and how many rows each matched."""


def in_list(values: Sequence[str]) -> tuple[str, Parameters]:
    """What follows IN for these values, at least one, and its parameters.

    There are as many as the next power of two says, the last value again and again: so there are few statements,
    and each is prepared once.
    """
    count = 1 << (len(values) - 1).bit_length()
    names, text = _placeholders(count)
    padded = (*values, *[values[-1]] * (count - len(values))) if count > len(values) else values
    return text, dict(zip(names, padded, strict=True))


@lru_cache
def _placeholders(count: int) -> tuple[tuple[str, ...], str]:
    names = tuple(f"value{number}" for number in range(count))
    return names, "(" + ", ".join(f":{name}" for name in names) + ")"


_TOKEN = re.compile(r"'(?:[^']|'')*'|:([a-z]\w*)|%")


@lru_cache(maxsize=128)
def pyformat(sql: str) -> str:
    """The statement with `:name` written as `%(name)s` and literal `%` doubled."""

    def replace(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0].replace("%", "%%")

    return _TOKEN.sub(replace, sql)
