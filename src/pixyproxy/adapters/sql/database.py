"""The interface between the repositories and a database, whichever server runs it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.adapters.sql.data_loader import data_loader
from pixyproxy.adapters.sql.session import Session

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Item = TypeVar("Item")

Find = Callable[[Session, Sequence[K]], Mapping[K, T]]
"""A job that reads the values that exist under some keys, all of them different."""
Load = Callable[[K], Awaitable[T | None]]
"""Reads the value under one key, or None."""

WriteAll = Callable[[Session, Sequence[Item]], Sequence[T]]
"""A job that writes some items and returns the result of each."""
Reread = Callable[[Session, Item], T | None]
"""A job that looks for the result of a write whose commit may have been lost; None if there is none."""
Write = Callable[[Item], Awaitable[T]]
"""Writes one item."""


class SQLDatabase(ABC):
    """Runs jobs on connections that all its users share, from the first `open` to the last `close`.

    Every method but `close` raises DBConnectionError if the database cannot be reached.
    """

    def __init__(self, readers: ConnectionPool[Any]) -> None:
        self._readers = readers
        self._users: set[object] = set()
        self._changing = asyncio.Lock()

    async def open(self, user: object) -> None:
        """Open on behalf of `user`, which has to close.

        Raises:
            SchemaVersionError: The tables do not fit this program.
        """
        async with self._changing:
            if not self._users:
                await self._start()
            self._users.add(user)

    async def close(self, user: object) -> None:
        """Close on behalf of `user`; connections and threads end with the last one."""
        async with self._changing:
            if user in self._users:
                self._users.remove(user)
                if not self._users:
                    await self._stop()

    @abstractmethod
    async def _start(self) -> None:
        """Make ready for jobs, with tables that fit; on an error everything is closed again."""

    @abstractmethod
    async def _stop(self) -> None:
        """Close connections and threads."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the database answers and takes writes."""

    async def read(self, job: Callable[[Session], T]) -> T:
        """Return the result of a job that only reads, outside any transaction."""
        return await self._readers.run(lambda connection, deadline: self._run_read(connection, deadline, job))

    @abstractmethod
    def _run_read(self, connection: Any, deadline: float, job: Callable[[Session], T]) -> T:
        """Run a job on a connection of the readers."""

    def data_loader(self, find: Find[K, T]) -> Load[K, T]:
        """Return a function that reads by a unique key; calls that arrive together are one query.

        Each call sees everything committed before it, and raises the error of its own key or of the database.
        """

        def find_all(connection: Any, deadline: float, keys: Sequence[K]) -> Mapping[K, T]:
            return self._run_read(connection, deadline, lambda session: find(session, keys))

        return data_loader(self._readers, find_all).run

    @abstractmethod
    async def write(self, job: Callable[[Session], T], *, reread: Callable[[Session], T | None] | None = None) -> T:
        """Return the result of a job that is one transaction.

        If the answer to the commit is lost, `reread` finds the result if the transaction took effect; without it, or if
        it finds none, DBConnectionError is raised.
        """

    @abstractmethod
    def group_commit(self, write: WriteAll[Item, T], *, reread: Reread[Item, T] | None = None) -> Write[Item, T]:
        """Return a function that writes one item, perhaps with those of other callers in one transaction.

        Each call raises the error of its own item or of the database. `reread` is as in `write`; without it writes
        must be idempotent, and are repeated if the answer to the commit is lost.
        """
