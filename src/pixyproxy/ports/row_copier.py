"""The port that copies the rows of one database to another."""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from pixyproxy.ports.resource import Resource

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Callback that receives a table, the number reached in it, and the number at its end."""


class ComparedTable(NamedTuple):
    """A table, its number of rows in the source, and the number of rows that only one of both databases has."""

    name: str
    rows: int
    different: int


class RowCopier(Resource):
    """Copies users, keys, sessions, images with all that finds them, charges and budgets, with their ids and times.

    Applied scripts, the identity of the database and leases on tasks are not copied. Nothing in the source is changed.
    Every method but `close` raises DBConnectionError if a database cannot be reached.
    """

    @abstractmethod
    async def is_empty(self) -> bool:
        """Return whether the target holds nothing of what is copied."""

    @abstractmethod
    async def copy(self, on_progress: OnProgress) -> None:
        """Make the rows of the target those of the source; rows that are there already are left as they are.

        Raises:
            DataValidationError: the target refuses a row; the message names the table.
        """

    @abstractmethod
    async def compare(self, on_progress: OnProgress) -> tuple[ComparedTable, ...]:
        """Compare every row of both databases, and return the tables in the order of their names."""
