"""Backfill of out-of-order images in an SQLite file of an older version."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pixyproxy.adapters.sql import backfill
from pixyproxy.adapters.sql.migrations import load_scripts
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.search.bounds import DEFAULT
from pixyproxy.adapters.sqlite import migrations
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.adapters.sqlite.session import SQLiteSession
from pixyproxy.entrypoints.cli.main import app
from tests.fixtures.sql import out_of_order
from tests.fixtures.sql.out_of_order import COUNT, STRAGGLERS

SCRIPTS = load_scripts("pixyproxy.adapters.sqlite")


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file at version 4, with images."""
    path = tmp_path / "pixyproxy.db"
    await migrate_to(4, path, monkeypatch)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in out_of_order.insert_statements():
            connection.execute(statement)
    return path


async def migrate_to(version: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "load_scripts", lambda _: SCRIPTS[:version])
        patched.setattr(migrations, "PROBES", ())
        await migrate(path)


def stragglers(path: Path, table: str = "image_postings WHERE term = 'x'") -> set[int]:
    with closing(sqlite3.connect(path)) as connection:
        return {number for (number,) in connection.execute(f"SELECT image_id FROM {table}")}


async def test_a_migration_finds_them_and_reports_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "BATCH", 3)
    names: list[str] = []
    lines: list[str] = []
    assert len(await migrate(path, names.append, lines.append)) == len(SCRIPTS) - 4
    assert names == [script.name for script in SCRIPTS[4:]]
    assert lines == ["30 images looked at", "60 images looked at"]
    assert STRAGGLERS
    assert stragglers(path) == STRAGGLERS
    for bounds in (DEFAULT, DEFAULT._replace(neighbours=2)):
        repository = SQLImageRepository(SQLiteDatabase(path), bounds)
        await repository.open()
        await out_of_order.check(repository)
        await repository.close()


@pytest.mark.parametrize("fetches", [0, 3, 7])
async def test_one_that_was_cut_short_is_finished(path: Path, monkeypatch: pytest.MonkeyPatch, fetches: int) -> None:
    monkeypatch.setattr(backfill, "BATCH", 7)
    await migrate_to(5, path, monkeypatch)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM image_stragglers")
        with pytest.raises(out_of_order.Interrupted):
            out_of_order.fill(out_of_order.interrupted_after(SQLiteSession(connection), fetches))
        assert stragglers(path, "image_stragglers") < STRAGGLERS
        out_of_order.fill(SQLiteSession(connection))
    assert stragglers(path, "image_stragglers") == STRAGGLERS


async def test_a_script_whose_fill_failed_is_not_applied(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: object, tell: object, transact: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setitem(backfill.FILLS, 5, fail)
        with pytest.raises(Exception, match="database"):
            await migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT MAX(version) FROM schema_migrations").fetchone() == (4,)
    await migrate(path)
    assert stragglers(path) == STRAGGLERS


async def test_a_deleted_image_is_no_straggler(path: Path) -> None:
    await migrate(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DELETE FROM images WHERE id > {COUNT // 2}")
    assert stragglers(path) == {number for number in STRAGGLERS if number <= COUNT // 2}


def test_the_command_reports_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.rename(path.with_name("pixyproxy.sqlite3"))
    monkeypatch.setenv("PIXYPROXY_DATA_DIR", str(path.parent))
    monkeypatch.setattr(backfill, "BATCH", 3)
    done = CliRunner().invoke(app, ["migrate"])
    assert done.exit_code == 0, done.output
    assert "applying 0005_flat_lists.sql\n  30 images looked at\n  60 images looked at\n" in done.output
