"""Names of users who were removed before names were reserved."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pixyproxy.adapters.mysql import migrations as mysql_migrations
from pixyproxy.adapters.sql.migrations import load_scripts
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite import migrations as sqlite_migrations
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import NameReservedError
from pixyproxy.domain.user import User
from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database

BEFORE = 8
IMAGE = """INSERT INTO images (guid, filename, filename_folded, prompt, tags, author, visibility, status, created_at,
    updated_at, generator, parameters) VALUES ('{}', '', '', '', '[]', {}, 'public', 'ready',
    '2026-11-21 10:00:00.000000', '2026-11-21 10:00:00.000000', 'sketch', '{{}}')"""
ROWS = (
    "INSERT INTO roster (`user`, `password`) VALUES ('bob', 'h')",
    IMAGE.format("a", "'alice'"),
    IMAGE.format("b", "'bob'"),
    IMAGE.format("c", "NULL"),
    IMAGE.format("d", "'Zoe'"),
    IMAGE.format("e", "'Zoe'"),
)


async def check(users: SQLUserRepository) -> None:
    """Assert that the authors who are on no roster are reserved, in any case of letters."""
    await users.open()
    for name in ("alice", "ALICE", "zoe"):
        with pytest.raises(NameReservedError):
            await users.add(User(name, None, "h"))
    await users.remove("bob")
    await users.add(User("carol", None, "h"))
    await users.close()


async def test_in_an_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, scripts = tmp_path / "pixyproxy.db", load_scripts("pixyproxy.adapters.sqlite")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_migrations, "load_scripts", lambda _: scripts[:BEFORE])
        patched.setattr(sqlite_migrations, "PROBES", ())
        await sqlite_migrations.migrate(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for row in ROWS:
            connection.execute(row)
    await check(SQLUserRepository(SQLiteDatabase(path)))


async def test_in_a_mysql_database(mysql_server: MySQLSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load_scripts("pixyproxy.adapters.mysql")
    with fresh_database(mysql_server, migrated=False) as settings:
        with monkeypatch.context() as patched:
            patched.setattr(mysql_migrations, "load_scripts", lambda _: scripts[:BEFORE])
            patched.setattr(mysql_migrations, "_PROBES", ())
            await mysql_migrations.migrate(settings.database().server)
        for row in ROWS:
            settings.query(row)
        await mysql_migrations.migrate(settings.database().server)
        settings.query("DELETE FROM schema_migrations WHERE version = %s", BEFORE + 1)  # as if it was cut short
        await mysql_migrations.migrate(settings.database().server)
        await check(SQLUserRepository(settings.database()))
