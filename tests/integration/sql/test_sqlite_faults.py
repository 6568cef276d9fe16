"""SQLite: damaged, locked and missing files, and concurrent processes."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.sql import connection_pool as threads
from pixyproxy.adapters.sql.repositories.api_key_repository import SQLApiKeyRepository
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository, find_recent
from pixyproxy.adapters.sql.repositories.predecessors import find_predecessors
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sql.session import Parameters, Row, Session
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.domain.errors import (
    DataValidationError,
    DBConnectionError,
    DBRefusedError,
    ImageNotFoundError,
    PixyProxyException,
    SchemaVersionError,
)
from pixyproxy.domain.image import Failure, ImageChanges, Status, new_guid
from pixyproxy.domain.query import ImageQuery
from pixyproxy.domain.user import User
from tests.conformance.contracts.api_key_repository import make_key
from tests.conformance.contracts.image_repository import NOW, add_ready, make_batch, make_draft, make_result
from tests.fixtures.sql import first_tables


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "pixyproxy.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SQLiteDatabase]:
    database = SQLiteDatabase(path)
    await database.open("test")
    yield database
    await database.close("test")


@pytest.fixture
async def images(database: SQLiteDatabase) -> AsyncIterator[SQLImageRepository]:
    repository = SQLImageRepository(database)
    await repository.open()
    yield repository
    await repository.close()


def every_call(database: SQLiteDatabase) -> dict[str, Callable[[], Awaitable[object]]]:
    images, users, keys = (
        SQLImageRepository(database),
        SQLUserRepository(database),
        SQLApiKeyRepository(database),
    )
    guid = new_guid()
    return {
        "ping": images.ping,
        "add": lambda: images.add(make_draft()),
        "add_batch": lambda: images.add_batch(make_batch(2)),
        "batch": lambda: images.batch(guid),
        "find_claimed": lambda: images.find_claimed("", "key"),
        "find_held": lambda: images.find_held("a" * 64),
        "find_recent": lambda: images.find_recent("", "a" * 64, NOW),
        "predecessors": lambda: images.predecessors("", "a" * 64, ended_since=NOW, left_since=NOW),
        "mark_caller_left": lambda: images.mark_caller_left([guid], NOW),
        "mark_ready": lambda: images.mark_ready(guid, make_result(), NOW),
        "mark_failed": lambda: images.mark_failed(guid, Status.FAILED, Failure("x", "y"), NOW),
        "get": lambda: images.get(guid),
        "search": lambda: images.search(ImageQuery(terms=("duck",))),
        "update": lambda: images.update(guid, ImageChanges(tags=("x",)), NOW),
        "delete": lambda: images.delete(guid),
        "cancel": lambda: images.cancel(guid),
        "user get": lambda: users.get("alice"),
        "user list": users.list,
        "user add": lambda: users.add(User("alice", None, "h")),
        "user set": lambda: users.update("alice", {"password_hash": "h"}),
        "user remove": lambda: users.remove("alice"),
        "key add": lambda: keys.add(make_key()),
        "key find": lambda: keys.find("digest"),
        "key list": keys.list,
        "key remove": lambda: keys.remove("AbCdEfGh"),
    }


async def test_two_repositories_share_a_database_until_both_have_closed(database: SQLiteDatabase) -> None:
    images, users = SQLImageRepository(database), SQLUserRepository(database)
    await database.close("test")
    await asyncio.gather(images.open(), users.open())
    await users.add(User("alice", None, "h"))
    await images.close()
    await images.close()
    assert (await users.get("alice")).username == "alice"
    await users.close()
    for name, call in every_call(database).items():
        with pytest.raises(DBConnectionError):
            print(name, await call())


async def test_the_file_is_made_with_its_folder_for_its_owner_alone(images: SQLImageRepository, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("pragma", "value"), [("synchronous", 2), ("foreign_keys", 1), ("journal_mode", "wal"), ("busy_timeout", 4000)]
)
async def test_how_the_writer_works(database: SQLiteDatabase, pragma: str, value: object) -> None:
    assert list(await database.write(lambda session: session.fetch("SELECT * FROM pragma_" + pragma, {}))) == [(value,)]


async def test_readers_cannot_write(database: SQLiteDatabase) -> None:
    with pytest.raises(DBConnectionError):
        await database.read(lambda session: session.change("DELETE FROM images", {}))


async def test_a_deleted_file_is_an_outage_until_it_is_back(
    images: SQLImageRepository, database: SQLiteDatabase, path: Path, tmp_path: Path
) -> None:
    image = await add_ready(images, tags=("duck",))
    saved = tmp_path / "saved"
    shutil.move(path.parent, saved)
    for name, call in every_call(database).items():
        with pytest.raises(DBConnectionError):
            print(name, await call())
    assert not path.exists()
    shutil.move(saved, path.parent)
    assert await images.get(image.guid) == image
    assert (await images.search(ImageQuery())).items == (image,)
    await images.delete(image.guid)


async def test_another_file_in_its_place_is_noticed(images: SQLImageRepository, path: Path, tmp_path: Path) -> None:
    image = await add_ready(images)
    other = tmp_path / "other.db"
    await migrate(other)
    other.replace(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    with pytest.raises(ImageNotFoundError):
        await images.get(image.guid)
    added = await images.add(make_draft())
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT guid FROM images").fetchall() == [(added.guid,)]


async def test_tables_that_vanish_are_named_as_the_cause(images: SQLImageRepository, path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE images")
    with pytest.raises(SchemaVersionError):
        await images.get(new_guid())
    with pytest.raises(SchemaVersionError):
        await images.add(make_draft())


async def test_a_damaged_file(path: Path) -> None:
    images = SQLImageRepository(SQLiteDatabase(path))
    await images.open()
    added = [await images.add(make_draft(prompt=f"duck {i} " * 500)) for i in range(80)]
    await images.close()
    with path.open("r+b") as file:
        file.seek(4096 * 60)
        file.write(b"\xff" * (path.stat().st_size - 4096 * 60))
    await images.open()
    outcomes = await asyncio.gather(*(images.get(image.guid) for image in added), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes if outcome not in added} == {DBRefusedError}
    await images.close()


@pytest.mark.parametrize("content", [b"this is no database" * 500, b"SQLite format 3\0" + bytes(range(256)) * 40])
async def test_a_file_that_is_not_a_database(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DBConnectionError, match="PIXYPROXY_DATA_DIR"):
        await SQLImageRepository(SQLiteDatabase(path)).open()
    assert path.read_bytes() == content


async def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (tmp_path, file / "pixyproxy.db"):
        repository = SQLImageRepository(SQLiteDatabase(path))
        with pytest.raises(DBConnectionError, match="PIXYPROXY_DATA_DIR") as caught:
            await repository.open()
        assert str(tmp_path) not in caught.value.message
        await repository.close()


async def test_a_full_disk(database: SQLiteDatabase, images: SQLImageRepository) -> None:
    await database.write(lambda session: session.fetch("PRAGMA max_page_count = 1", {}))
    draft = make_draft(prompt=" ".join(f"word{i}" for i in range(5000)))
    with pytest.raises(DBConnectionError, match="No space"):
        await images.add(draft)
    with pytest.raises(ImageNotFoundError):
        await images.get(draft.guid)
    assert await images.add(draft) == await images.get(draft.guid)


async def test_text_that_is_none(images: SQLImageRepository) -> None:
    with pytest.raises(DataValidationError):
        await images.add(make_draft(prompt="\ud800"))
    with pytest.raises(DataValidationError):
        await images.search(ImageQuery(filename="\ud800"))
    await images.add(make_draft())


async def test_a_lock_held_too_long_is_an_outage_and_nothing_is_written_later(
    images: SQLImageRepository, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = make_draft()
    monkeypatch.setattr(threads, "CALL_SECONDS", 0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBConnectionError):
            await images.add(draft)
        raw.execute("ROLLBACK")
    monkeypatch.undo()
    later = await images.add(make_draft())
    with pytest.raises(ImageNotFoundError):
        await images.get(draft.guid)
    assert await images.get(later.guid) == later


async def test_a_slow_read_is_stopped(database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    monkeypatch.setattr(threads, "CALL_SECONDS", 0.2)
    for _ in range(4):
        with pytest.raises(DBConnectionError):
            await database.read(lambda session: session.fetch(endless, {}))


async def test_a_quick_read_of_a_locked_file_waits_in_a_thread(path: Path) -> None:
    images = SQLImageRepository(SQLiteDatabase(path))
    await images.open()
    image = await images.add(make_draft())
    await images.close()
    await images.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as locked:
        locked.execute("PRAGMA locking_mode = EXCLUSIVE")
        locked.execute("BEGIN EXCLUSIVE")
        reading = asyncio.create_task(images.get(image.guid))
        await asyncio.sleep(0.1)
        assert not reading.done()
    assert await reading == image
    await images.close()


# Migrations


async def test_the_schema_is_made_once(path: Path) -> None:
    names: list[str] = []
    applied = await migrate(path, names.append)
    assert applied == names
    assert applied[0] == "0001_create_tables.sql"
    assert await migrate(path, names.append) == []
    assert applied == names


async def test_many_open_a_new_file_at_once(path: Path) -> None:
    code = "import asyncio,sys,pathlib;from pixyproxy.adapters.sqlite.migrations import migrate;"
    code += "print(len(asyncio.run(migrate(pathlib.Path(sys.argv[1])))))"
    processes = [subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) for _ in range(2)]
    counts = await asyncio.gather(*(migrate(path) for _ in range(6)))
    outputs = [int(await asyncio.to_thread(lambda p=process: p.communicate(timeout=60)[0])) for process in processes]
    assert sorted(map(len, counts)) + sorted(outputs) != []
    assert sum(map(len, counts)) + sum(outputs) == max(*map(len, counts), *outputs)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE schema_migrations SET checksum = 'x'", r"0001_create_tables\.sql has changed"),
        (
            "INSERT INTO schema_migrations VALUES (9999, '9999_future.sql', 'x', 'now', NULL)",
            r"newer.*9999_future\.sql",
        ),
        ("ALTER TABLE images RENAME COLUMN prompt TO words", "not those pixyproxy made"),
    ],
)
async def test_a_schema_that_does_not_fit(path: Path, sql: str, message: str) -> None:
    await migrate(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(sql)
    with pytest.raises(SchemaVersionError, match=message):
        await SQLImageRepository(SQLiteDatabase(path)).open()


async def test_a_script_that_fails_leaves_nothing_behind(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE roster (strange)")
    with pytest.raises(SchemaVersionError):
        await migrate(path)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("roster",)]


async def test_the_rows_of_an_older_file_are_kept(path: Path) -> None:
    make_first_tables(path)
    images = SQLImageRepository(SQLiteDatabase(path))
    await images.open()
    await first_tables.check(images)
    batch = await images.add_batch(make_batch(2, derived_from=(first_tables.READY,)))
    assert [image.id for image in batch] == [10, 11]
    assert await images.batch(batch[0].guid) == batch
    await images.close()


async def test_a_change_of_tables_that_fails_leaves_nothing_behind(path: Path) -> None:
    make_first_tables(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE image_sources (strange)")
        before = raw.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    with pytest.raises(SchemaVersionError):
        await migrate(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
        raw.execute("DROP TABLE image_sources")
    assert (await migrate(path))[0] == "0002_batches_and_edits.sql"


def make_first_tables(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw, raw:
        for statement in first_tables.statements("pixyproxy.adapters.sqlite"):
            raw.execute(statement)


async def test_no_thread_is_left_behind(path: Path) -> None:
    await migrate(path)
    path.write_bytes(b"broken" * 1000)
    with pytest.raises(PixyProxyException):
        await SQLImageRepository(SQLiteDatabase(path)).open()
    await asyncio.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-")]


class Explaining:
    """A session that keeps the query plan of what it is asked to read."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.by_index = session.by_index
        self.steps: list[str] = []

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        rows = self._session.fetch(f"EXPLAIN QUERY PLAN {sql}", parameters)
        self.steps.extend(str(row[3]) for row in rows)
        return ()


async def plan_of(database: SQLiteDatabase, read: Callable[[Any], object]) -> list[str]:
    def job(session: Session) -> list[str]:
        explaining = Explaining(session)
        read(explaining)
        return explaining.steps

    return await database.read(job)


async def test_recent_images_are_read_from_their_index(images: SQLImageRepository, database: SQLiteDatabase) -> None:
    steps = await plan_of(database, lambda session: find_recent(session, "", "a" * 64, NOW))
    recent = [step for step in steps if "images_request" in step]
    assert ["updated_at>" in step for step in recent if "status=?" in step] == [False, False, True], steps
    # One part for each gap between the known statuses, where entries are found only if a newer version wrote them.
    assert sum("status>" in step or "status<" in step for step in recent) == len(recent) - 3 == len(Status) + 1, steps
    assert not any(step.startswith("SCAN images") for step in steps), steps


async def test_predecessors_are_read_from_their_indexes(images: SQLImageRepository, database: SQLiteDatabase) -> None:
    steps = await plan_of(database, lambda session: find_predecessors(session, "", "a" * 64, NOW, NOW))
    by_status = [step for step in steps if "images_request" in step]
    assert ["updated_at>" in step for step in by_status if "status=?" in step] == [False, False, True, True], steps
    [left] = [step for step in steps if "images_caller_left" in step]
    assert "caller_left_at>" in left
    assert not any(step.startswith("SCAN images") for step in steps), steps


@pytest.mark.parametrize("read_only", ["file", "folder"])
async def test_a_read_only_file_or_folder_takes_no_writes(
    path: Path, images: SQLImageRepository, monkeypatch: pytest.MonkeyPatch, read_only: str
) -> None:
    await images.ping()
    denied = path if read_only == "file" else path.parent
    monkeypatch.setattr(os, "access", lambda asked, mode: asked != denied)
    with pytest.raises(DBConnectionError, match="read-only"):
        await images.ping()
    path.rename(path.with_suffix(".away"))
    with pytest.raises(DBConnectionError, match="gone"):
        await images.ping()
