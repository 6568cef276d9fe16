"""Databases for which no file can be opened: an outage, which ends when there is one again."""

from pathlib import Path

import pytest

from pixyproxy.adapters.mysql.connection import Era, ServerConnection
from pixyproxy.adapters.sql.connection_pool import ConnectionPool
from pixyproxy.adapters.sql.session import Session
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import DBConnectionError, DBRefusedError
from tests.fixtures.open_files import no_open_file_left
from tests.fixtures.sql.mysql_servers import MySQLSettings


def count(session: Session) -> int:
    return len(session.fetch("SELECT version FROM schema_migrations", {}))


async def test_an_sqlite_file_that_cannot_be_opened_is_an_outage(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "pixyproxy.sqlite3")
    await database.open("test")
    with no_open_file_left():
        for _ in range(2):
            with pytest.raises(DBConnectionError):
                await database.write(count)
            with pytest.raises(DBConnectionError):
                await database.read(count)
    assert await database.write(count) == await database.read(count) > 0
    await database.close("test")


def test_a_mysql_connection_that_cannot_be_opened_is_an_outage(mysql_server: MySQLSettings) -> None:
    connection = ServerConnection(mysql_server.database().server, Era())
    with no_open_file_left(), pytest.raises(DBConnectionError) as raised:
        connection.get()
    assert not isinstance(raised.value, DBRefusedError)
    assert connection.get().open
    connection.close()


class Connection:
    def close(self) -> None: ...


async def test_no_memory_is_an_outage() -> None:
    def job(connection: Connection, deadline: float) -> None:
        raise MemoryError

    pool = ConnectionPool("test", 1, Connection)
    pool.start()
    with pytest.raises(DBConnectionError, match="memory"):
        await pool.run(job)
    assert await pool.run(lambda connection, deadline: 5) == 5
    await pool.stop()
