"""Servers that are set up otherwise: the tables are made, and pictures recorded, changed, found and deleted."""

from dataclasses import replace
from typing import Any, cast

import pymysql
import pytest

from pixyproxy.adapters.mysql import migrations
from pixyproxy.adapters.mysql.migrations import migrate
from pixyproxy.adapters.sql.migrations import Script
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.domain.errors import SchemaVersionError
from pixyproxy.domain.image import ImageChanges
from pixyproxy.domain.query import ImageQuery
from pixyproxy.domain.user import User
from tests.conformance.contracts.image_repository import NOW, add_ready, make_draft
from tests.conformance.contracts.maintenance_repository import restorable
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database

SETUPS = {
    "statements in the log, an old version, compact rows": (
        *("--log-bin", "--server-id=1", "--binlog-format=STATEMENT", "--version=5.7.44-log"),
        *("--innodb-default-row-format=compact", "--sql-mode=ANSI,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT"),
        *("--lower-case-table-names=1", "--explicit-defaults-for-timestamp=0", "--autocommit=0"),
        *("--sql-safe-updates=1", "--completion-type=RELEASE", "--transaction-isolation=SERIALIZABLE"),
    ),
    "a new version, small packets, other defaults": (
        *("--version=12.1.0", "--log-bin", "--server-id=1", "--binlog-format=MIXED", "--max-allowed-packet=1M"),
        *("--innodb-default-row-format=redundant", "--character-set-server=latin1", "--default-time-zone=+09:00"),
        *("--sql-mode=", "--innodb-strict-mode=0", "--auto-increment-increment=3", "--auto-increment-offset=2"),
        "--default-storage-engine=MyISAM",
    ),
}


GLOBALS = ("foreign_key_checks = 0", "unique_checks = 0", "sql_select_limit = 1", "sql_big_selects = 0")
"""Defaults of sessions that are no options of the server."""


@pytest.mark.slow
@pytest.mark.parametrize("options", SETUPS.values(), ids=list(SETUPS))
async def test_everything_works_with_an_account_of_few_rights(options: tuple[str, ...]) -> None:
    with PrivateMariaDB(*options) as server, fresh_database(server.settings, migrated=False) as settings:
        settings.query("CREATE USER pixy@'127.0.0.1'")
        settings.query(f"GRANT ALL ON {settings.name}.* TO pixy@'127.0.0.1'")
        for each in GLOBALS:
            settings.query(f"SET GLOBAL {each}")
        for account in (replace(settings, user="pixy"), settings):
            await _use(account)


async def _use(settings: MySQLSettings) -> None:
    await migrate(settings.database().server)
    await migrate(settings.database().server)
    database = settings.database()
    images, users = SQLImageRepository(database), SQLUserRepository(database)
    maintenance = SQLMaintenanceRepository(database)
    for each in (images, users, maintenance):
        await each.open()
    await images.ping()
    made = [await add_ready(images, prompt=f"a 'duck' \\ \"{n}\" 🦆", tags=("one", "two")) for n in range(3)]
    assert [await images.get(image.guid) for image in made] == made
    (again,) = await images.add_batch([make_draft()])
    changed = await images.update(made[0].guid, ImageChanges(tags=("three",)), NOW)
    assert (await images.search(ImageQuery(terms=("duck",)))).items == (made[2], made[1], changed)
    assert (await images.search(ImageQuery(tags=("two",)))).items == (made[2], made[1])
    assert await maintenance.restore_all([restorable() for _ in range(20)]) == (True,) * 20
    await users.add(User("alice", None, "h"), take_over=True)
    assert await users.get("alice") == User("alice", None, "h")
    await users.remove("alice")
    for row in await maintenance.walk(0, 100):
        await images.delete(row.guid)
    assert settings.query("SELECT COUNT(*) FROM image_postings") == ((0,),)
    assert again.guid not in {row.guid for row in await maintenance.walk(0, 100)}
    for each in (images, users, maintenance):
        await each.close()


class RefusingCursor:
    """A cursor of a server that takes no long indexes."""

    def execute(self, statement: str) -> None:
        assert statement.endswith("ROW_FORMAT = DYNAMIC")
        raise pymysql.err.OperationalError(1071, "Specified key was too long")


def test_pages_that_are_too_small_are_named() -> None:
    script = Script(1, "0001_example.sql", "CREATE TABLE example (name VARCHAR(255) PRIMARY KEY)")
    with pytest.raises(SchemaVersionError, match="innodb_page_size must be 16K"):
        migrations._run(cast("Any", RefusingCursor()), script)
