"""What the repositories need of a database, whichever server runs it."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from pixyproxy.adapters.sql.session import Session

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Item = TypeVar("Item")

FindByKey = Callable[[Session, Sequence[K]], Mapping[K, T]]
"""A job that reads what there is under any of some keys, all of them different."""
GetByKey = Callable[[K], Awaitable[T | None]]
"""Reads what is under one key, or None."""

WriteAll = Callable[[Session, Sequence[Item]], Sequence[T]]
"""A job that writes some items and gives the result of each."""
WriteOne = Callable[[Item], Awaitable[T]]
"""Writes one item."""


class SQLDatabase(ABC):
    """Runs jobs on connections that it holds for all that use it; every method but `close` raises DBConnectionError."""

    @abstractmethod
    async def open(self, user: object) -> None:
        """Open on behalf of `user`, which has to close; raises SchemaVersionError if the tables do not fit."""

    @abstractmethod
    async def close(self, user: object) -> None:
        """Close on behalf of `user`; connections and threads end with the last one."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the database answers."""

    @abstractmethod
    async def point_read(self, job: Callable[[Session], T]) -> T:
        """The result of a job that reads one row by a unique key."""

    @abstractmethod
    def reads_by_key(self, find: FindByKey[K, T]) -> GetByKey[K, T]:
        """Reads by a unique key, which may be done for several callers at once.

        Each sees what was committed before its call, and an error is that of its own key or of the database.
        """

    @abstractmethod
    async def read(self, job: Callable[[Session], T]) -> T:
        """The result of a job that only reads, outside any transaction."""

    @abstractmethod
    def grouped(
        self,
        write: WriteAll[Item, T],
        *,
        reread: Callable[[Session, Item], T | None] | None = None,
        one_statement: bool = False,
    ) -> WriteOne[Item, T]:
        """Writes of one kind, of which those that come together may be one transaction.

        An error is that of its own item or of the database. `reread` is as in `write`. With `one_statement` what is
        written for a single item is one statement, which may be done twice where a connection is lost.
        """

    @abstractmethod
    async def write(self, job: Callable[[Session], T], *, reread: Callable[[Session], T | None] | None = None) -> T:
        """The result of a job that is one transaction.

        Where the answer to the commit is lost, `reread` finds the result if the transaction took effect;
        without it, or if it finds none, DBConnectionError is raised.
        """
