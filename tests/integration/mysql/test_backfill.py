"""Backfill of out-of-order images in a MySQL database of an older version."""

import math
from collections.abc import Iterator
from contextlib import closing

import pytest

from pixyproxy.adapters.mysql import migrations
from pixyproxy.adapters.mysql.migrations import migrate
from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql import backfill
from pixyproxy.adapters.sql.migrations import load_scripts
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.search.bounds import DEFAULT
from tests.fixtures.sql import out_of_order
from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database, in_thread
from tests.fixtures.sql.out_of_order import COUNT, STRAGGLERS

SCRIPTS = load_scripts("pixyproxy.adapters.mysql")


@pytest.fixture
def old(mysql_server: MySQLSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[MySQLSettings]:
    """Yield a database at version 4, with images."""
    with fresh_database(mysql_server, migrated=False) as settings:
        migrate_to(4, settings, monkeypatch)
        for statement in out_of_order.insert_statements():
            settings.query(statement)
        yield settings


def migrate_to(version: int, settings: MySQLSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "load_scripts", lambda _: SCRIPTS[:version])
        patched.setattr(migrations, "_PROBES", ())
        in_thread(lambda: migrate(settings.database().server))


def stragglers(settings: MySQLSettings, table: str = "image_postings WHERE term = 'x'") -> set[int]:
    return {number for (number,) in settings.query(f"SELECT image_id FROM {table}")}


async def test_a_migration_finds_them_and_reports_progress(old: MySQLSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "BATCH", 3)
    names: list[str] = []
    lines: list[str] = []
    assert len(await migrate(old.database().server, names.append, lines.append)) == len(SCRIPTS) - 4
    assert names == [script.name for script in SCRIPTS[4:]]
    assert lines == ["30 images looked at", "60 images looked at"]
    assert stragglers(old) == STRAGGLERS
    for bounds in (DEFAULT, DEFAULT._replace(neighbours=2)):
        repository = SQLImageRepository(old.database(), bounds)
        await repository.open()
        await out_of_order.check(repository)
        await repository.close()


@pytest.mark.parametrize("fetches", [0, 3, 7])
async def test_one_that_was_cut_short_is_finished(
    old: MySQLSettings, monkeypatch: pytest.MonkeyPatch, fetches: int
) -> None:
    """The service may delete images meanwhile."""
    monkeypatch.setattr(backfill, "BATCH", 7)

    def cut_short(session: MySQLSession, tell: object, transact: object) -> None:
        fill(out_of_order.interrupted_after(session, fetches), lambda _: None, lambda job: job(session))

    fill = backfill.FILLS[5]
    with monkeypatch.context() as patched:
        patched.setitem(backfill.FILLS, 5, cut_short)
        with pytest.raises(out_of_order.Interrupted):
            await migrate(old.database().server)
    assert stragglers(old, "image_stragglers") < STRAGGLERS
    assert old.query("SELECT MAX(version) FROM schema_migrations") == ((4,),)
    old.query(f"DELETE FROM images WHERE id > {COUNT // 2}")
    assert await migrate(old.database().server) == [script.name for script in SCRIPTS[4:]]
    assert stragglers(old) == {number for number in STRAGGLERS if number <= COUNT // 2}


async def test_an_image_deleted_while_they_are_looked_for_is_none(
    old: MySQLSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate_to(5, old, monkeypatch)
    old.query("DELETE FROM image_stragglers")
    doomed = max(STRAGGLERS)
    with closing(old.database().server.connect()) as connection:
        session = MySQLSession(connection, math.inf)
        change = session.change

        def delete_first(sql: str, parameters: object) -> int:
            old.query(f"DELETE FROM images WHERE id = {doomed}")
            return change(sql, {})

        session.change = delete_first  # type: ignore[method-assign, assignment]
        out_of_order.fill(session)
    assert stragglers(old, "image_stragglers") == STRAGGLERS - {doomed}
