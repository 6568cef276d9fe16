"""Postings of the images in a database of an older version: inserted in batches, and safe to cut short."""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.mysql import migrations as mysql_migrations
from pixyproxy.adapters.sql import backfill
from pixyproxy.adapters.sql.mapping import INSERT_IMAGE, new_row
from pixyproxy.adapters.sql.migrations import load_scripts
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.session import pyformat
from pixyproxy.adapters.sqlite import migrations as sqlite_migrations
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.image import Image, Status, Visibility, new_guid
from pixyproxy.domain.query import ImageQuery
from tests.fixtures.images import NOW, make_draft, make_image, make_result
from tests.fixtures.sql.mysql_servers import MySQLSettings, fresh_database, in_thread

BEFORE = 10
BATCH = 7
COUNT = 40
STRAGGLERS = {9, 33}
INSERT = re.sub(r", :?(cost|hidden|idempotency_holder|queued_call)\b", "", INSERT_IMAGE)
"""As the version before added images: what later scripts add is not there yet."""


class Interrupted(Exception):
    """The process ended at this point."""


class OldSQLite:
    """An SQLite file at the version before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = lambda: SQLiteDatabase(path)

    async def migrate(self, on_progress: Callable[[str], object] = print) -> list[str]:
        return await sqlite_migrations.migrate(self.path, on_progress=on_progress)

    def query(self, sql: str, values: Any = ()) -> Sequence[Any]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")}


class OldMySQL:
    """A MySQL database at the version before."""

    def __init__(self, settings: MySQLSettings) -> None:
        self.settings = settings
        self.database = settings.database

    async def migrate(self, on_progress: Callable[[str], object] = print) -> list[str]:
        return await mysql_migrations.migrate(self.database().server, on_progress=on_progress)

    def query(self, sql: str, values: Any = ()) -> Sequence[Any]:
        with closing(self.settings.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(pyformat(sql), values)
            return cursor.fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("SHOW TABLES")}


Old = OldSQLite | OldMySQL


def images() -> list[Image]:
    """Return images of all audiences."""
    made = []
    for number in range(1, COUNT + 1):
        image = make_image(
            guid=new_guid(),
            prompt=f"duck {number} 猫と犬",
            author=(None, "alice", "bob")[number % 3],
            visibility=Visibility.PRIVATE if number % 6 == 1 else Visibility.PUBLIC,
            tags=("bath", f"tag {number} "),
            derived_from=(made[-1].guid,) * 2 if made else (),
            created_at=NOW + timedelta(minutes=number - 600 * (number in STRAGGLERS)),
        )
        if number % 5 == 0:
            image = replace(image, status=(Status.FAILED, Status.UNKNOWN)[number % 2], result=None)
        made.append(image)
    return made


@pytest.fixture(params=["sqlite", "mysql"])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    """Yield a database at the version before, with images."""
    monkeypatch.setattr(backfill, "INDEXED_AT_ONCE", BATCH)
    scripts = load_scripts(f"pixyproxy.adapters.{request.param}")[:BEFORE]

    def prepare(database: Old, module: Any, probes: str) -> Old:
        with monkeypatch.context() as patched:
            patched.setattr(module, "load_scripts", lambda _: scripts)
            patched.setattr(module, probes, ())
            in_thread(database.migrate)
        for image in images():
            database.query(INSERT, new_row(image))
        for number in STRAGGLERS:
            database.query(f"INSERT INTO image_stragglers (image_id) VALUES ({number})")
        return database

    if request.param == "sqlite":
        yield prepare(OldSQLite(tmp_path / "pixyproxy.db"), sqlite_migrations, "PROBES")
        return
    with fresh_database(request.getfixturevalue("mysql_server"), migrated=False) as settings:
        yield prepare(OldMySQL(settings), mysql_migrations, "_PROBES")


def postings(old: Old) -> list[tuple[int, str, int]]:
    rows = old.query("SELECT audience, term, image_id FROM image_postings")
    return sorted(
        (audience, term if isinstance(term, str) else term.decode(), number) for audience, term, number in rows
    )


async def expected(old: Old) -> list[tuple[int, str, int]]:
    """Return the postings that the same images have when they are added to the new tables."""
    maintenance = SQLMaintenanceRepository(old.database())
    await maintenance.open()
    old.query("DELETE FROM images")
    assert all(await maintenance.restore_all(images()))
    await maintenance.close()
    found = postings(old)
    shift = min(number for _, _, number in found) - 1
    return [(audience, term, number - shift) for audience, term, number in found]


def stripped(rows: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    """Return the rows without sources, which differ in each call of `images`."""
    return [row for row in rows if not row[1].startswith("s")]


async def test_images_get_their_postings_and_old_tables_go(old: Old) -> None:
    lines: list[str] = []
    assert (await old.migrate(lines.append))[0].startswith("0011")
    found = postings(old)
    assert {number for _, term, number in found if term == "x"} == STRAGGLERS
    assert len([row for row in found if row[1].startswith("s")]) == COUNT - 1
    assert not {"image_terms", "image_tags", "image_sources", "image_stragglers"} & old.tables()
    assert stripped(found) == stripped(await expected(old))
    assert await old.migrate() == []


async def test_progress_is_reported(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_BATCHES_PER_REPORT", 2)
    lines: list[str] = []
    await old.migrate(lines.append)
    assert lines == ["14 images indexed", "28 images indexed", "42 images indexed"]


@pytest.mark.parametrize("batches", [0, 1, 3, 6])
async def test_one_that_was_cut_short_goes_on(old: Old, monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    fill = backfill.FILLS[11]

    def cut_short(session: Any, report: Any, transact: Any) -> None:
        left = batches

        def transact_some(job: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Interrupted
            return transact(job)

        fill(session, report, transact_some)

    with monkeypatch.context() as patched:
        patched.setitem(backfill.FILLS, 11, cut_short)
        with pytest.raises(Interrupted):
            await old.migrate()
    assert old.query("SELECT MAX(version) FROM schema_migrations")[0][0] == BEFORE
    if batches:
        done = postings(old)
        assert {number for _, _, number in done} == set(range(1, min(COUNT, batches * BATCH) + 1))
    assert (await old.migrate())[0].startswith("0011")
    assert stripped(postings(old)) == stripped(await expected(old))


async def test_processes_that_start_together_share_the_work(old: Old) -> None:
    done = await asyncio.gather(*(old.migrate() for _ in range(3)))
    assert any(done)
    assert old.query("SELECT COUNT(*) FROM schema_migrations WHERE version = 11")[0][0] == 1
    assert stripped(postings(old)) == stripped(await expected(old))


async def test_old_process_that_finishes_a_generation_meanwhile_hides_no_image(old: Old) -> None:
    draft = make_draft(prompt="in flight", author="alice")
    old.query(INSERT, new_row(draft.recorded(0), draft.lease))
    await old.migrate()
    repository = SQLImageRepository(old.database())
    await repository.open()
    query = ImageQuery(terms=("flight",))
    assert (await repository.search(query)).items == ()
    own = replace(query, viewer="alice", status=Status.GENERATING)
    assert [image.guid for image in (await repository.search(own)).items] == [draft.guid]
    finished = new_row(draft.recorded(0).finished(make_result(), NOW))
    columns = ("status", "media_type", "width", "height", "size_bytes", "sha256")
    changes = ", ".join(f"{column} = :{column}" for column in columns)
    old.query(f"UPDATE images SET {changes} WHERE guid = :guid", finished)
    assert [image.guid for image in (await repository.search(query)).items] == [draft.guid]
    await repository.close()
