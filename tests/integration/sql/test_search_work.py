"""The work for one page of a search is bounded, in statements, rows and instructions, however many images there are."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.search.audiences import audiences_of
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds
from pixyproxy.adapters.sql.search.page import search
from pixyproxy.adapters.sql.session import Parameters, Row, Session
from pixyproxy.adapters.sqlite.connection import connect
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.adapters.sqlite.session import SQLiteSession
from pixyproxy.domain.query import ImageQuery
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.sql.many_images import chunks, fill_mysql, fill_sqlite
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database, in_thread
from tests.fixtures.sql.search_queries import search_queries

IMAGES = 20_000
QUERIES = search_queries(IMAGES, limit=10)
# Twenty thousand images exceed these bounds as millions exceed the real ones.
BOUNDS = Bounds(
    examined=300,
    batch=32,
    probe_rows=75,
    merged_rows=512,
    neighbours=20,
)
STATEMENTS = 12
"""Most statements for a page."""
READS = 6_000
"""Most rows that MySQL reads for a page from indexes, tables and its own temporary results, for each audience."""
STEPS = 20_000
"""Most instructions of SQLite's virtual machine for a page, for each audience."""
FEWER_STEPS = {"three letters": 6_000, "common word + file name": 9_500, "tag + time": 10_500}
"""Lower limits for queries that a worse plan would slow down unnoticed."""
FEWER_READS = {"three letters": 800, "two common words": 690, "common word + file name": 1_750}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work") / "pixyproxy.db"
    in_thread(lambda: migrate(path))
    for rows in chunks(IMAGES):
        fill_sqlite(path, rows)
    return path


@pytest.fixture(scope="module")
def database(mysql_server: MySQLSettings) -> Iterator[MySQLSettings]:
    with fresh_database(mysql_server) as settings:
        for rows in chunks(IMAGES):
            fill_mysql(settings, rows)
        yield settings


class Counting:
    """A session that counts its statements."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        self.statements += 1
        return self._session.fetch(sql, parameters)


def statements(session: Any, query: ImageQuery, bounds: Bounds) -> int:
    """Return how many statements a page takes."""
    counting = Counting(session)
    search(counting, query, bounds)
    return counting.statements


def sqlite_steps(file: Path, query: ImageQuery) -> int:
    """Return how many instructions a page takes."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 10

    with closing(connect(file, query_only=True)) as connection:
        connection.set_progress_handler(step, 10)
        assert statements(SQLiteSession(connection), query, BOUNDS) <= STATEMENTS
    return steps


def mysql_reads(database: MySQLSettings, query: ImageQuery) -> int:
    """Return how many rows are read for a page."""
    with closing(database.database().server.connect()) as connection, connection.cursor() as cursor:
        session = MySQLSession(connection, math.inf)
        statements(session, query, BOUNDS)  # fill the server's caches, which it reads once per table
        cursor.execute("FLUSH STATUS")
        assert statements(session, query, BOUNDS) <= STATEMENTS
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(count) for _, count in cursor.fetchall())


def most(each: int, kind: str) -> int:
    """Return the limit for a kind of query, which reads one audience or two."""
    return each * len(audiences_of(QUERIES[kind]))


@pytest.mark.parametrize("kind", QUERIES)
def test_sqlite_takes_few_steps(file: Path, kind: str) -> None:
    assert 0 < sqlite_steps(file, QUERIES[kind]) <= FEWER_STEPS.get(kind, most(STEPS, kind))


@pytest.mark.parametrize("kind", QUERIES)
def test_mysql_reads_few_rows(database: MySQLSettings, kind: str) -> None:
    assert 0 < mysql_reads(database, QUERIES[kind]) <= FEWER_READS.get(kind, most(READS, kind))


@pytest.mark.parametrize(("kind", "count"), [("list", 1), ("tag", 2), ("common word", 3), ("three letters", 3)])
def test_number_of_statements(file: Path, kind: str, count: int) -> None:
    with closing(connect(file, query_only=True)) as connection:
        assert statements(SQLiteSession(connection), QUERIES[kind], BOUNDS) == count


def test_prefix_of_more_rows_than_a_probe_reads_is_resolved(file: Path) -> None:
    bounds = BOUNDS._replace(examined=60, probe_rows=20)
    with closing(connect(file, query_only=True)) as connection:
        session = SQLiteSession(connection)
        resolved, unresolved = (
            search(session, QUERIES["three letters"], bounds._replace(probes=probes)) for probes in (3, 1)
        )
    assert len(resolved.items) == 10
    assert len(unresolved.items) < 3
    assert unresolved.next_before_id is not None


def test_every_kind_but_five_finds_images(file: Path) -> None:
    with closing(connect(file, query_only=True)) as connection:
        session = SQLiteSession(connection)
        empty = [name for name, query in QUERIES.items() if not search(session, query, DEFAULT).items]
    assert set(empty) <= {
        "file name of none",
        "model of none",
        "two words that never meet",
        "two words that never meet, deep",
        "common word + rare tag",
    }


def test_plain_lists_are_read_from_an_index_in_order(file: Path) -> None:
    explained: list[str] = []

    class Explaining(SQLiteSession):
        def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
            rows = super().fetch(f"EXPLAIN QUERY PLAN {sql}", parameters)
            explained.extend(str(row[3]) for row in rows)
            return []

    with closing(sqlite3.connect(file)) as connection:
        for query in (ImageQuery(), ImageQuery(viewer="alice"), ImageQuery(viewer="alice", author="alice")):
            explained.clear()
            search(Explaining(connection), query, DEFAULT)
            assert any("images_visible" in step or "images_owned" in step for step in explained), explained
            assert not any(step.startswith("SCAN images") for step in explained), explained


def test_page_that_takes_too_long_ends_with_a_cursor(file: Path) -> None:
    query = QUERIES["two words that never meet"]
    with closing(connect(file, query_only=True)) as connection:
        session = SQLiteSession(connection)
        slow, fast = (statements(session, query, DEFAULT._replace(seconds=seconds)) for seconds in (60, 0))
        assert fast < slow
        page = search(session, query, DEFAULT._replace(seconds=0))
        assert page.items == ()
        assert page.next_before_id is not None


def test_table_statistics_change_nothing(file: Path, database: MySQLSettings, tmp_path: Path) -> None:
    analysed = tmp_path / "analysed.db"
    analysed.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(analysed)) as connection:
        connection.execute("ANALYZE")
    database.query("ANALYZE TABLE images, image_postings")
    for kind, query in QUERIES.items():
        assert sqlite_steps(analysed, query) <= most(STEPS, kind), kind
        assert mysql_reads(database, query) <= most(READS, kind), kind


@pytest.mark.mysql
def test_statistics_of_empty_tables_change_nothing() -> None:
    with PrivateMariaDB() as server, fresh_database(server.settings) as settings:
        for table in ("images", "image_postings"):
            settings.query(f"ALTER TABLE {table} STATS_PERSISTENT = 1, STATS_AUTO_RECALC = 0")
        for rows in chunks(IMAGES):
            fill_mysql(settings, rows)
        server.restart()  # a running server remembers how many rows were added
        reads = {kind: mysql_reads(settings, query) for kind, query in QUERIES.items()}
    assert {kind: count for kind, count in reads.items() if count > most(READS, kind)} == {}


class InterruptedSession(SQLiteSession):
    """A session that changes the database between the probe of a batch and the statement that fetches its images."""

    def __init__(self, connection: sqlite3.Connection, change: str, **parameters: int) -> None:
        super().__init__(connection)
        self._interruption = (change, parameters)

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        if "AS candidate" in sql:
            self.change(*self._interruption)
        return super().fetch(sql, parameters)


@pytest.fixture
async def small_file(tmp_path: Path) -> Path:
    """Return a file with five public images: the last is no duck, and the third has no tag."""
    path = tmp_path / "pixyproxy.db"
    repository = SQLImageRepository(SQLiteDatabase(path))
    await repository.open()
    for i in range(1, 6):
        prompt = "goose" if i == 5 else "duck"
        await add_ready(repository, author="alice", prompt=prompt, tags=() if i == 3 else ("bath",))
    await repository.close()
    return path


def test_image_made_private_during_a_search_is_not_shown(small_file: Path) -> None:
    with closing(connect(small_file)) as connection:
        for viewer in ("bob", None):
            session = InterruptedSession(connection, "UPDATE images SET visibility = 'private' WHERE id = :id", id=2)
            page = search(session, ImageQuery(viewer=viewer, terms=("duck",)), DEFAULT)
            assert [image.id for image in page.items] == [4, 3, 1]
            connection.execute("UPDATE images SET visibility = 'public'")


def test_image_tagged_during_a_search_displaces_no_other(small_file: Path) -> None:
    with closing(connect(small_file)) as connection:
        change = "INSERT OR IGNORE INTO image_postings (audience, term, image_id) VALUES (0, 'tbath', :id)"
        session = InterruptedSession(connection, change, id=3)
        page = search(session, ImageQuery(tags=("bath",)), DEFAULT._replace(batch=3, examined=3))
        assert [image.id for image in page.items] == [5, 4, 3, 2]
        assert page.next_before_id is not None
