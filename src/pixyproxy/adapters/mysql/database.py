"""A MySQL or MariaDB database: a few threads with a connection each, shared by the repositories on it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import pymysql

from pixyproxy.adapters.mysql.connection import Server, ServerLink
from pixyproxy.adapters.mysql.error_translation import BUSY, TOO_LARGE, code_of
from pixyproxy.adapters.mysql.greenlet_bridge import ConnectionOnLoop, connect_on_loop
from pixyproxy.adapters.mysql.migrations import check_schema
from pixyproxy.adapters.mysql.session import run_read, run_write
from pixyproxy.adapters.sql.batching import ApartError, BatchedReads, BatchedWrites
from pixyproxy.adapters.sql.connection_pool import ConnectionThreads
from pixyproxy.adapters.sql.database import FindByKey, GetByKey, Item, K, SQLDatabase, WriteAll, WriteOne
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.errors import DBConnectionError

T = TypeVar("T")


class MySQLDatabase(SQLDatabase):
    """Holds up to `pool_size` connections for all that use it, from the first `open` to the last `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        name: str,
        *,
        ssl_ca: str | None = None,
        pool_size: int = 4,
    ) -> None:
        self.server = Server(host, port, user, password, name, ssl_ca)
        # Of one connection threads have the use, of several the event loop has one.
        on_loop = pool_size > 1 and not self.server.needs_blocking_sockets
        self._threads = ConnectionThreads(f"mysql-{name}", pool_size - on_loop, partial(ServerLink, self.server))
        self._on_loop = ConnectionOnLoop(partial(ServerLink, self.server, connect_on_loop)) if on_loop else None
        self._users: set[object] = set()
        self._changing = asyncio.Lock()

    async def open(self, user: object) -> None:
        """Open on behalf of `user`, which has to close; raises SchemaVersionError and DBConnectionError."""
        async with self._changing:
            if not self._users:
                self._start()
                try:
                    await self.read(check_schema)
                except BaseException:
                    await self._stop()
                    raise
            self._users.add(user)

    async def close(self, user: object) -> None:
        """Close on behalf of `user`; connections and threads end with the last one."""
        async with self._changing:
            if user in self._users:
                self._users.remove(user)
                if not self._users:
                    await self._stop()

    def _start(self) -> None:
        self._threads.start()
        if self._on_loop is not None:
            self._on_loop.start()

    async def _stop(self) -> None:
        if self._on_loop is not None:
            await self._on_loop.stop()
        await self._threads.stop()

    async def ping(self) -> None:
        """Return if the server answers; raises DBConnectionError."""
        await self.read(_ping)

    async def point_read(self, job: Callable[[Session], T]) -> T:
        """The result of a job that reads one row by a unique key: in a thread, as every read."""
        return await self.read(job)

    def reads_by_key(self, find: FindByKey[K, T]) -> GetByKey[K, T]:
        """Reads by a unique key: those that arrive together are one query, on the event loop if it has a connection."""
        return BatchedReads(self._on_loop or self._threads, partial(_find, find)).get

    async def read(self, job: Callable[[Session], T]) -> T:
        """The result of a job that only reads, outside any transaction."""
        return await self._threads.run(partial(_read, job))

    def grouped(
        self,
        write: WriteAll[Item, T],
        *,
        reread: Callable[[Session, Item], T | None] | None = None,
        one_statement: bool = False,
    ) -> WriteOne[Item, T]:
        """Writes of one kind, in threads: those that arrive together are one transaction."""
        write_one = partial(_write_one, write, reread, one_statement)
        write_all = partial(_write_all, write, reread, one_statement)
        return BatchedWrites(self._threads, write_one, write_all).get

    async def write(self, job: Callable[[Session], T], *, reread: Callable[[Session], T | None] | None = None) -> T:
        """The result of a job that is one transaction; see `run_write` for `reread`."""
        return await self._threads.run(lambda link, deadline: run_write(link, deadline, job, reread))


def _read(job: Callable[[Session], T], link: ServerLink, deadline: float) -> T:
    return run_read(link, deadline, job)


def _find(find: FindByKey[K, T], link: ServerLink, deadline: float, keys: Sequence[K]) -> Mapping[K, T]:
    return run_read(link, deadline, lambda session: find(session, keys))


def _write_one(
    write: WriteAll[Item, T],
    reread: Callable[[Session, Item], T | None] | None,
    one_statement: bool,
    link: ServerLink,
    deadline: float,
    item: Item,
) -> T:
    def job(session: Session) -> T:
        return write(session, (item,))[0]

    if one_statement:
        return run_read(link, deadline, job)
    return run_write(link, deadline, job, reread and (lambda session: reread(session, item)))


def _write_all(
    write: WriteAll[Item, T],
    reread: Callable[[Session, Item], T | None] | None,
    one_statement: bool,
    link: ServerLink,
    deadline: float,
    items: Sequence[Item],
) -> Sequence[T]:
    def reread_all(session: Session) -> Sequence[T] | None:
        if one_statement:
            return write(session, items)
        found = [result for item in items if reread and (result := reread(session, item)) is not None]
        return found if len(found) == len(items) else None

    try:
        return run_write(link, deadline, lambda session: write(session, items), reread_all, patient=False)
    except DBConnectionError as error:
        if isinstance(error.__cause__, pymysql.MySQLError) and code_of(error.__cause__) in {*BUSY, TOO_LARGE}:
            raise ApartError from error
        raise


def _ping(session: Session) -> None:
    session.fetch("SELECT 1", {})
