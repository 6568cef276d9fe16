"""One SQLite file: a thread that writes, a few that read, and a connection for quick reads on the event loop."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from pixyproxy.adapters.sql.batcher import MAX_WRITES, Batcher
from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.adapters.sql.database import Find, Item, K, Load, Reread, SQLDatabase, Write, WriteAll
from pixyproxy.adapters.sql.session import Session
from pixyproxy.adapters.sqlite.connection import FileConnection
from pixyproxy.adapters.sqlite.error_translation import MISSING, READ_ONLY, LockedError
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.adapters.sqlite.session import run_point_read, run_read, run_write
from pixyproxy.domain.errors import DBConnectionError

_READERS = 2

T = TypeVar("T")


class SQLiteDatabase(SQLDatabase):
    """A database in an SQLite file, which `open` creates and migrates if need be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = ConnectionPool("sqlite-write", 1, partial(FileConnection, path))
        # It must never wait on the event loop: a read that finds the file locked is left to a thread.
        self._point = FileConnection(path, query_only=True, busy_seconds=0)
        super().__init__(ConnectionPool("sqlite-read", _READERS, partial(FileConnection, path, query_only=True)))

    async def _start(self) -> None:
        await migrate(self.path)
        self._writer.start()
        self._readers.start()

    async def _stop(self) -> None:
        self._point.close()
        await self._readers.stop()
        # Last: the last connection to close folds the log into the file, if it may write.
        await self._writer.stop()

    async def ping(self) -> None:
        """Return if the file answers, and it and its folder can be written: the log and its index are beside it."""
        if self._users and not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK | os.X_OK)):
            raise DBConnectionError(READ_ONLY if self.path.exists() else MISSING)
        await self.read(lambda session: session.fetch("SELECT version FROM schema_migrations LIMIT 1", {}))

    def _run_read(self, connection: FileConnection, deadline: float, job: Callable[[Session], T]) -> T:
        return run_read(connection, deadline, job)

    def data_loader(self, find: Find[K, T]) -> Load[K, T]:
        """Return a function that reads by a unique key, on the event loop.

        Beside threads that store pictures a read on a thread waits for the interpreter's lock again and again: while
        500 responses arrive, its p99 is twenty times that of one on the loop.
        """

        async def load(key: K) -> T | None:
            def job(session: Session) -> T | None:
                return find(session, (key,)).get(key)

            if self._users:
                with suppress(LockedError):
                    return run_point_read(self._point, job)
            return await self.read(job)

        return load

    async def write(self, job: Callable[[Session], T], *, reread: Callable[[Session], T | None] | None = None) -> T:
        """Return the result of a job that is one transaction; the outcome of a commit to a local file is never lost."""
        return await self._writer.run(lambda connection, deadline: run_write(connection, deadline, job))

    def group_commit(self, write: WriteAll[Item, T], *, reread: Reread[Item, T] | None = None) -> Write[Item, T]:
        """Return a function that writes one item; the log is flushed once for items that arrive together."""

        def write_all(connection: FileConnection, deadline: float, items: Sequence[Item]) -> Sequence[T]:
            return run_write(connection, deadline, lambda session: write(session, items))

        def write_one(connection: FileConnection, deadline: float, item: Item) -> T:
            return write_all(connection, deadline, (item,))[0]

        return Batcher(self._writer, write_one, write_all, MAX_WRITES).run
