"""A MySQL or MariaDB database: a few connections on the event loop and in threads, shared by the repositories on it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from pixyproxy.adapters._sql.batching import BatchedReads
from pixyproxy.adapters._sql.database import FindByKey, GetByKey, K, SQLDatabase
from pixyproxy.adapters._sql.session import Session
from pixyproxy.adapters._sql.threads import ConnectionThreads
from pixyproxy.adapters._sql.work import Workers, run_job
from pixyproxy.adapters.mysql.connection import Server, ServerLink
from pixyproxy.adapters.mysql.migrations import check_schema
from pixyproxy.adapters.mysql.on_loop import ConnectionsOnLoop, connect_on_loop
from pixyproxy.adapters.mysql.session import run_read, run_write

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
        on_loop = 0 if self.server.needs_blocking_sockets else pool_size - max(1, pool_size // 4)
        self._threads = ConnectionThreads(f"mysql-{name}", pool_size - on_loop, partial(ServerLink, self.server))
        # Reads by key wait for nothing else where there is a connection for them alone.
        by_key = min(1, on_loop // 2)
        self._by_key, self._quick = (
            ConnectionsOnLoop(size, partial(ServerLink, self.server, connect_on_loop)) if size else None
            for size in (by_key, on_loop - by_key)
        )
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
        for connections in (self._by_key, self._quick):
            if connections is not None:
                connections.start()

    async def _stop(self) -> None:
        for connections in (self._by_key, self._quick):
            if connections is not None:
                await connections.stop()
        await self._threads.stop()

    async def ping(self) -> None:
        """Return if the server answers; raises DBConnectionError."""
        await self.read(_ping)

    async def point_read(self, job: Callable[[Session], T]) -> T:
        """The result of a job that reads one row by a unique key."""
        return await run_job(self._quick or self._threads, partial(_read, job))

    def reads_by_key(self, find: FindByKey[K, T]) -> GetByKey[K, T]:
        """Reads by a unique key: those that arrive together are one query."""
        return BatchedReads(self._by_key or self._quick or self._threads, partial(_find, find)).get

    async def read(self, job: Callable[[Session], T]) -> T:
        """The result of a job that only reads, outside any transaction: in a thread, if one is free."""
        workers: Workers[ServerLink] = self._threads
        if self._quick is not None and not self._threads.is_free:
            workers = self._quick
        return await run_job(workers, partial(_read, job))

    async def change(self, job: Callable[[Session], T]) -> T:
        """The result of a job with one statement that changes something, which the server commits by itself."""
        return await run_job(self._quick or self._threads, partial(_read, job))

    async def write(
        self,
        job: Callable[[Session], T],
        *,
        reread: Callable[[Session], T | None] | None = None,
        lengthy: bool = False,
    ) -> T:
        """The result of a job that is one transaction, in a thread if it is lengthy; see `run_write` for `reread`."""
        workers: Workers[ServerLink] = self._threads if lengthy or self._quick is None else self._quick
        return await run_job(workers, lambda link, deadline: run_write(link, deadline, job, reread))


def _read(job: Callable[[Session], T], link: ServerLink, deadline: float) -> T:
    return run_read(link, deadline, job)


def _find(find: FindByKey[K, T], link: ServerLink, deadline: float, keys: Sequence[K]) -> Mapping[K, T]:
    return run_read(link, deadline, lambda session: find(session, keys))


def _ping(session: Session) -> None:
    session.fetch("SELECT 1", {})
