"""The work for a page of a search, counted in what the servers do: bounded, however many images there are."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds
from pixyproxy.adapters.sql.search.page import search
from pixyproxy.adapters.sql.session import Parameters, Row, Session
from pixyproxy.adapters.sqlite.connection import connect
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.adapters.sqlite.migrations import migrate
from pixyproxy.adapters.sqlite.session import SQLiteSession
from pixyproxy.domain.query import ImageQuery
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.sql.many_images import chunks, fill_mysql, fill_sqlite
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database, in_thread
from tests.fixtures.sql.search_shapes import shapes

IMAGES = 20_000
SHAPES = shapes(IMAGES, limit=10)
# Beside these, twenty thousand images are as many as millions are beside the real ones.
BOUNDS = Bounds(
    examined=300,
    batch=32,
    probe_rows=75,
    merged_rows=512,
    neighbours=20,
)
STATEMENTS = 12
"""The most of them for a page."""
READS = 7_000
"""Rows that MySQL may read for a page from indexes, tables and its own temporary results."""
STEPS = 25_000
"""Instructions of SQLite's virtual machine for a page."""
LESS_STEPS = {"three letters": 8_000, "common word + file name": 8_500, "tag + time": 10_500}
"""The same where no sample is in vain, and no index is asked what rows say anyway."""
LESS_READS = {"three letters": 1_000, "two common words": 690, "common word + file name": 1_350}
"""The same for the rows; and no result of a look-up is written down to be found again."""


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
    """A session that counts the statements."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        self.statements += 1
        return self._session.fetch(sql, parameters)

    def fetch_few(self, columns: str, rest: str, parameters: Parameters) -> Sequence[Row]:
        self.statements += 1
        return self._session.fetch_few(columns, rest, parameters)


def statements(session: Any, query: ImageQuery, bounds: Bounds) -> int:
    """How many statements the page took."""
    counting = Counting(session)
    search(counting, query, bounds)
    return counting.statements


def sqlite_steps(file: Path, query: ImageQuery) -> int:
    """How many instructions a page takes."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 10

    with closing(connect(file, query_only=True)) as connection:
        connection.set_progress_handler(step, 10)
        assert statements(SQLiteSession(connection), query, BOUNDS) <= STATEMENTS
    return steps


def mysql_reads(database: MySQLSettings, query: ImageQuery) -> int:
    """How many rows are read for a page."""
    with closing(database.database().server.connect()) as connection, connection.cursor() as cursor:
        session = MySQLSession(connection, math.inf)
        statements(session, query, BOUNDS)  # whatever is read once for a table
        cursor.execute("FLUSH STATUS")
        assert statements(session, query, BOUNDS) <= STATEMENTS
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(count) for _, count in cursor.fetchall())


@pytest.mark.parametrize("shape", SHAPES)
def test_sqlite(file: Path, shape: str) -> None:
    assert 0 < sqlite_steps(file, SHAPES[shape]) <= STEPS


@pytest.mark.parametrize("shape", SHAPES)
def test_mysql(database: MySQLSettings, shape: str) -> None:
    assert 0 < mysql_reads(database, SHAPES[shape]) <= READS


@pytest.mark.parametrize("shape", LESS_STEPS)
def test_sqlite_does_less_for(file: Path, shape: str) -> None:
    assert sqlite_steps(file, SHAPES[shape]) <= LESS_STEPS[shape]


@pytest.mark.parametrize("shape", LESS_READS)
def test_mysql_does_less_for(database: MySQLSettings, shape: str) -> None:
    assert mysql_reads(database, SHAPES[shape]) <= LESS_READS[shape]


@pytest.mark.parametrize(("shape", "count"), [("list", 1), ("one letter", 2), ("common word", 2), ("three letters", 2)])
def test_so_many_statements(file: Path, shape: str, count: int) -> None:
    with closing(connect(file, query_only=True)) as connection:
        assert statements(SQLiteSession(connection), SHAPES[shape], BOUNDS) == count


def test_a_longer_beginning_of_few_rows_is_counted_by_itself(file: Path, database: MySQLSettings) -> None:
    query = ImageQuery(terms=("bara",), limit=10)
    with closing(connect(file, query_only=True)) as connection:
        assert statements(SQLiteSession(connection), query, BOUNDS) == 3
    assert sqlite_steps(file, query) <= LESS_STEPS["three letters"]
    assert mysql_reads(database, query) <= LESS_READS["three letters"]


def test_that_a_server_gave_up_is_noticed(database: MySQLSettings) -> None:
    with closing(database.database().server.connect()) as connection:
        session = MySQLSession(connection, math.inf)
        if not (end := session.give_up_after(100)):
            pytest.skip("this server cannot be told to give up")
        for limit, gave_up in ((10, False), (1000, True), (10, False)):
            session.fetch(f"SELECT id FROM (SELECT id FROM images LIMIT {limit}) AS some GROUP BY id {end}", {})
            assert session.gave_up is gave_up


def test_every_shape_finds_something_save_those_that_never_do(file: Path) -> None:
    with closing(connect(file, query_only=True)) as connection:
        session = SQLiteSession(connection)
        empty = [name for name, query in SHAPES.items() if not search(session, query, DEFAULT).items]
    assert set(empty) <= {
        "file name of none",
        "two words that never meet",
        "two words that never meet, deep",
        "common word + rare tag",
    }


def test_lists_are_read_from_an_index_in_order(file: Path) -> None:
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


def test_a_page_that_takes_long_ends_and_goes_on(file: Path) -> None:
    query = SHAPES["two words that never meet"]
    with closing(connect(file, query_only=True)) as connection:
        session = SQLiteSession(connection)
        unhurried, hurried = (statements(session, query, DEFAULT._replace(seconds=seconds)) for seconds in (60, 0))
        assert hurried < unhurried
        page = search(session, query, DEFAULT._replace(seconds=0))
        assert page.items == ()
        assert page.next_cursor is not None


def test_what_a_server_knows_of_its_tables_changes_nothing(file: Path, database: MySQLSettings, tmp_path: Path) -> None:
    analysed = tmp_path / "analysed.db"
    analysed.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(analysed)) as connection:
        connection.execute("ANALYZE")
    database.query("ANALYZE TABLE images, image_tags, image_terms, image_stragglers")
    for shape, query in SHAPES.items():
        assert sqlite_steps(analysed, query) <= STEPS, shape
        assert mysql_reads(database, query) <= READS, shape


@pytest.mark.mysql
def test_a_server_that_takes_its_tables_for_empty_reads_no_more() -> None:
    with PrivateMariaDB() as server, fresh_database(server.settings) as settings:
        for table in ("images", "image_tags", "image_terms", "image_stragglers"):
            settings.query(f"ALTER TABLE {table} STATS_PERSISTENT = 1, STATS_AUTO_RECALC = 0")
        for rows in chunks(IMAGES):
            fill_mysql(settings, rows)
        server.restart()  # until then it remembers how many rows were added
        reads = {shape: mysql_reads(settings, query) for shape, query in SHAPES.items()}
    assert {shape: count for shape, count in reads.items() if count > READS} == {}


async def test_what_is_made_private_while_it_is_searched_for_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "pixyproxy.db"
    repository = SQLiteImageRepository(SQLiteDatabase(path))
    await repository.open()
    images = [await add_ready(repository, author="alice", prompt="duck") for _ in range(3)]
    await repository.close()

    class Interrupted(SQLiteSession):
        def fetch(self, sql: str, parameters: Parameters) -> Sequence[Row]:
            if "LEFT JOIN images" in sql:  # the words and where they are have been found
                self.change("UPDATE images SET visibility = 'private' WHERE id = :id", {"id": images[1].id})
            return super().fetch(sql, parameters)

    with closing(connect(path)) as connection:
        for viewer, seen in (("bob", [images[2], images[0]]), (None, [images[2], images[0]])):
            page = search(Interrupted(connection), ImageQuery(viewer=viewer, terms=("duck",)), DEFAULT)
            assert list(page.items) == seen
            connection.execute("UPDATE images SET visibility = 'public'")
