"""A MySQL or MariaDB database: a pool of connections, shared by the repositories on it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import pymysql

from pixyproxy.adapters.mysql.connection import Era, Server, ServerConnection
from pixyproxy.adapters.mysql.error_translation import BUSY, TOO_LARGE, code_of
from pixyproxy.adapters.mysql.migrations import check_schema
from pixyproxy.adapters.mysql.session import require_writable, run_read, run_write
from pixyproxy.adapters.sql.batcher import MAX_WRITES, Batcher, SplitBatchError
from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.adapters.sql.database import Item, Reread, SQLDatabase, Write, WriteAll
from pixyproxy.adapters.sql.session import Session
from pixyproxy.domain.errors import DBConnectionError

T = TypeVar("T")


class MySQLDatabase(SQLDatabase):
    """A database on a MySQL or MariaDB server, with up to `pool_size` connections."""

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
        self._pool = ConnectionPool(f"mysql-{name}", pool_size, partial(ServerConnection, self.server, Era()))
        super().__init__(self._pool)

    async def _start(self) -> None:
        self._pool.start()
        try:
            await self.read(check_schema)
        except BaseException:
            await self._stop()
            raise

    async def _stop(self) -> None:
        await self._pool.stop()

    async def ping(self) -> None:
        """Return if the server answers and takes writes."""
        await self._pool.run(require_writable)

    def _run_read(self, connection: ServerConnection, deadline: float, job: Callable[[Session], T]) -> T:
        return run_read(connection, deadline, job)

    async def write(self, job: Callable[[Session], T], *, reread: Callable[[Session], T | None] | None = None) -> T:
        """Return the result of a job that is one transaction; see `run_write` for `reread`."""
        return await self._pool.run(lambda connection, deadline: run_write(connection, deadline, job, reread))

    def group_commit(self, write: WriteAll[Item, T], *, reread: Reread[Item, T] | None = None) -> Write[Item, T]:
        """Return a function that writes one item; items that arrive together are one transaction."""
        is_idempotent = reread is None

        def write_one(connection: ServerConnection, deadline: float, item: Item) -> T:
            return run_write(
                connection,
                deadline,
                lambda session: write(session, (item,))[0],
                lambda session: reread(session, item) if reread else None,
                is_idempotent=is_idempotent,
            )

        def reread_all(session: Session, items: Sequence[Item]) -> Sequence[T] | None:
            found = [result for item in items if reread and (result := reread(session, item)) is not None]
            return found if len(found) == len(items) else None

        def write_all(connection: ServerConnection, deadline: float, items: Sequence[Item]) -> Sequence[T]:
            try:
                return run_write(
                    connection,
                    deadline,
                    lambda session: write(session, items),
                    lambda session: reread_all(session, items),
                    is_idempotent=is_idempotent,
                    wait_for_locks=False,
                )
            except DBConnectionError as error:
                if isinstance(error.__cause__, pymysql.MySQLError) and code_of(error.__cause__) in {*BUSY, TOO_LARGE}:
                    raise SplitBatchError from error
                raise

        return Batcher(self._pool, write_one, write_all, MAX_WRITES).run
