"""MySQL: migrating databases, and refusing those with a wrong schema."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace

import pymysql
import pytest

from pixyproxy.adapters.mysql import migrations
from pixyproxy.adapters.mysql.migrations import migrate
from pixyproxy.adapters.sql.migrations import Script, load_scripts, split_statements
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.domain.errors import DBConnectionError, SchemaVersionError
from tests.conformance.contracts.image_repository import make_batch, make_draft
from tests.fixtures.sql import first_tables
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database

SCRIPTS = [script.name for script in load_scripts("pixyproxy.adapters.mysql")]


@pytest.fixture
def bare(mysql_server: MySQLSettings) -> Iterator[MySQLSettings]:
    """Yield a database without tables."""
    with fresh_database(mysql_server, migrated=False) as settings:
        yield settings


@pytest.fixture
def absent(mysql_server: MySQLSettings) -> Iterator[MySQLSettings]:
    """Return the name of a missing database; it needs quoting."""
    name = f"pixyproxy_test_`{uuid.uuid4().hex[:8]}-ü"
    yield replace(mysql_server, name=name)
    mysql_server.query(f"DROP DATABASE IF EXISTS `{name.replace('`', '``')}`")


async def test_the_scripts_are_applied_once_in_order(bare: MySQLSettings) -> None:
    names: list[str] = []
    assert await migrate(bare.database().server, names.append) == SCRIPTS
    assert names == SCRIPTS
    assert await migrate(bare.database().server, names.append) == []
    assert names == SCRIPTS
    assert [name for (name,) in bare.query("SELECT name FROM schema_migrations ORDER BY version")] == SCRIPTS


async def test_a_database_that_is_missing_is_made(absent: MySQLSettings) -> None:
    assert await migrate(absent.database().server) == SCRIPTS
    row = absent.query("SELECT @@character_set_database, @@collation_database")
    assert row == (("utf8mb4", "utf8mb4_bin"),)
    repository = SQLImageRepository(absent.database())
    await repository.open()
    assert (await repository.add(make_draft())).id == 1
    await repository.close()


async def test_every_text_compares_exactly_and_holds_every_character(mysql_settings: MySQLSettings) -> None:
    columns = mysql_settings.query(
        "SELECT DISTINCT collation_name FROM information_schema.columns "
        "WHERE table_schema = %s AND collation_name IS NOT NULL",
        mysql_settings.name,
    )
    assert {name for (name,) in columns} == {"utf8mb4_bin", "ascii_bin"}


async def test_many_migrate_at_once(bare: MySQLSettings) -> None:
    code = (
        "import asyncio, sys; from pixyproxy.adapters.mysql.database import MySQLDatabase;"
        "from pixyproxy.adapters.mysql.migrations import migrate;"
        "host, port, user, password, name = sys.argv[1:];"
        "print(len(asyncio.run(migrate(MySQLDatabase(host, int(port), user, password, name).server))))"
    )
    command = [sys.executable, "-c", code, bare.host, str(bare.port), bare.user, bare.password, bare.name]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    counts = [len(applied) for applied in await asyncio.gather(*(migrate(bare.database().server) for _ in range(4)))]
    for process in processes:
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
        counts.append(int(output))
    assert sorted(counts) == [0, 0, 0, 0, 0, len(SCRIPTS)]
    assert bare.connections() == 0


async def test_another_migration_is_not_waited_for_endlessly(
    bare: MySQLSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 1)
    with closing(bare.connect()) as other, other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (migrations.lock_name(bare.name),))
        with pytest.raises(DBConnectionError, match="still migrating"):
            await migrate(bare.database().server)
    assert bare.query("SHOW TABLES") == ()
    assert await migrate(bare.database().server) == SCRIPTS


async def test_a_migration_that_was_cut_short_is_finished(bare: MySQLSettings) -> None:
    statements = list(split_statements(load_scripts("pixyproxy.adapters.mysql")[0].sql))
    for statement in statements[:3]:
        bare.query(statement)
    with pytest.raises(SchemaVersionError):
        await SQLImageRepository(bare.database()).open()
    assert await migrate(bare.database().server) == SCRIPTS
    repository = SQLImageRepository(bare.database())
    await repository.open()
    await repository.close()


async def test_the_rows_of_an_older_database_are_kept(bare: MySQLSettings) -> None:
    for statement in first_tables.statements("pixyproxy.adapters.mysql"):
        bare.query(statement)
    with pytest.raises(SchemaVersionError, match=r"0002_batches_and_edits\.sql.*`pixyproxy migrate`"):
        await SQLImageRepository(bare.database()).open()
    assert await migrate(bare.database().server) == SCRIPTS[1:]
    await still_works(bare)


@pytest.mark.parametrize("done", [1, 2])
async def test_a_change_of_tables_that_was_cut_short_is_finished(
    bare: MySQLSettings, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    for statement in first_tables.statements("pixyproxy.adapters.mysql"):
        bare.query(statement)

    def cut_short(sql: str) -> Iterator[str]:
        statements = list(split_statements(sql))
        yield from statements[:done]
        for (number,) in bare.query("SELECT id FROM information_schema.processlist WHERE db = DATABASE()"):
            with suppress(pymysql.MySQLError):  # the query that lists them ends with an error
                bare.query(f"KILL {number}")
        yield from statements[done:]

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "split_statements", cut_short)
        with pytest.raises(DBConnectionError):
            await migrate(bare.database().server)
    assert bare.query("SELECT name FROM schema_migrations") == ((SCRIPTS[0],),)
    columns = bare.query("SHOW COLUMNS FROM images LIKE 'batch'")
    assert len(columns) == 1
    assert await migrate(bare.database().server) == SCRIPTS[1:]
    await still_works(bare)


@pytest.mark.parametrize("column", ["batch", "reported"])
async def test_a_foreign_column_is_not_mistaken_for_ours(bare: MySQLSettings, column: str) -> None:
    for statement in first_tables.statements("pixyproxy.adapters.mysql"):
        bare.query(statement)
    bare.query(f"ALTER TABLE images ADD COLUMN {column} INT")
    for _ in range(2):
        with pytest.raises(SchemaVersionError, match="not those pixyproxy made"):
            await migrate(bare.database().server)
    assert bare.query("SHOW COLUMNS FROM images LIKE 'derived_from'") == ()


@pytest.mark.parametrize("change", ["ADD COLUMN extra INT NULL", "ADD KEY extra (sha256), ADD KEY more (width)"])
async def test_a_change_that_was_made_is_not_made_again(
    mysql_settings: MySQLSettings, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    mysql_settings.query(f"ALTER TABLE images {change}")
    add_script(monkeypatch, f"-- more\nALTER TABLE images\n    {change};")
    assert await migrate(mysql_settings.database().server) == ["9998_more.sql"]
    assert await migrate(mysql_settings.database().server) == []


async def test_an_index_that_is_gone_is_named_as_the_cause(mysql_settings: MySQLSettings) -> None:
    mysql_settings.query("ALTER TABLE images DROP KEY images_owned")
    for _ in range(2):
        with pytest.raises(SchemaVersionError, match="not those pixyproxy made"):
            await migrate(mysql_settings.database().server)
    with pytest.raises(SchemaVersionError, match="not those pixyproxy made"):
        await SQLImageRepository(mysql_settings.database()).open()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (a INT, a INT)",
        "ALTER TABLE images ADD KEY more (a)",
        "ALTER TABLE images DROP COLUMN a",
        "ALTER TABLE images DROP KEY a",
    ],
)
async def test_a_script_that_does_not_run_is_not_taken_for_done(
    mysql_settings: MySQLSettings, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    add_script(monkeypatch, sql)
    with pytest.raises(SchemaVersionError, match=r"9998_more\.sql does not run"):
        await migrate(mysql_settings.database().server)
    assert len(mysql_settings.query("SELECT name FROM schema_migrations")) == len(SCRIPTS)


def add_script(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    scripts = (*load_scripts("pixyproxy.adapters.mysql"), Script(9998, "9998_more.sql", sql))
    monkeypatch.setattr(migrations, "load_scripts", lambda package: scripts)


async def still_works(settings: MySQLSettings) -> None:
    """Check the existing rows, and add more."""
    repository = SQLImageRepository(settings.database())
    await repository.open()
    await first_tables.check(repository)
    images = await repository.add_batch(make_batch(2, derived_from=(first_tables.READY,)))
    assert [image.id for image in images] == [10, 11]
    assert await repository.batch(images[0].guid) == images
    await repository.close()


async def test_an_older_schema_is_refused_with_the_command_to_run(bare: MySQLSettings) -> None:
    repository = SQLImageRepository(bare.database())
    with pytest.raises(SchemaVersionError, match=r"0001_create_tables\.sql.*`pixyproxy migrate`"):
        await repository.open()
    assert bare.connections() == 0
    await migrate(bare.database().server)
    bare.query("DELETE FROM schema_migrations WHERE version = %s", len(SCRIPTS))
    with pytest.raises(SchemaVersionError, match="`pixyproxy migrate`"):
        await repository.open()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1", r"0001_create_tables\.sql has changed"),
        ("INSERT INTO schema_migrations (version, name, checksum) VALUES (99, '0099_x.sql', 'x')", r"newer.*0099_x"),
        ("ALTER TABLE images DROP COLUMN prompt", "not those pixyproxy made"),
        ("DROP TABLE image_postings", "not those pixyproxy made"),
    ],
)
async def test_a_schema_that_does_not_fit(mysql_settings: MySQLSettings, sql: str, message: str) -> None:
    mysql_settings.query(sql)
    with pytest.raises(SchemaVersionError, match=message):
        await SQLImageRepository(mysql_settings.database()).open()
    with pytest.raises(SchemaVersionError, match=message):
        await migrate(mysql_settings.database().server)


async def test_foreign_tables_are_left_alone(bare: MySQLSettings) -> None:
    bare.query("CREATE TABLE images (url TEXT)")
    bare.query("INSERT INTO images VALUES ('theirs')")
    with pytest.raises(SchemaVersionError):
        await migrate(bare.database().server)
    assert bare.query("SELECT url FROM images") == (("theirs",),)


# Rights, on a server where accounts can be made


async def test_without_the_right_to_create_the_database_the_error_names_the_administrators_script(
    private_mariadb: PrivateMariaDB,
) -> None:
    server = private_mariadb.settings
    server.query("CREATE USER weak IDENTIFIED BY 'weak'")
    weak = replace(server, user="weak", password="weak", name="pixyproxy_denied")
    with pytest.raises(SchemaVersionError, match=r"administrator run 0000_create_database_and_user\.sql"):
        await migrate(weak.database().server)
    with pytest.raises(DBConnectionError, match="DB_PASSWORD"):
        await migrate(replace(weak, password="wrong").database().server)


async def test_no_server(private_mariadb: PrivateMariaDB) -> None:
    private_mariadb.stop()
    try:
        with pytest.raises(DBConnectionError):
            await migrate(replace(private_mariadb.settings, name="pixyproxy").database().server)
    finally:
        private_mariadb.start()
