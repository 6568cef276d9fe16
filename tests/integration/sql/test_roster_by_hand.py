"""Rows of the roster that people write by hand, with values that the program would not write."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.user import Role
from tests.fixtures.sql.mysql_servers import MySQLSettings
from tests.fixtures.sql.sqlite_storage import SQLiteFile

INSERT = "INSERT INTO roster (`user`, `password`, role, paused, valid_until) VALUES ('a', 'h', '{}', {}, {})"
ENDLESS = datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("NULL", None),
        ("'2027-07-31'", datetime(2027, 7, 31, tzinfo=UTC)),
        ("'2027-07-31 18:00:00'", datetime(2027, 7, 31, 18, tzinfo=UTC)),
        ("'2027-07-31T18:00+02:00'", datetime(2027, 7, 31, 16, tzinfo=UTC)),
        ("'in summer'", datetime.min.replace(tzinfo=UTC)),
        ("''", datetime.min.replace(tzinfo=UTC)),
    ],
)
async def test_ends_in_sqlite(written: str, end: datetime | None, tmp_path: Path) -> None:
    file = SQLiteFile(tmp_path)
    users = SQLUserRepository(SQLiteDatabase(file.path))
    await users.open()
    file.query(INSERT.format("student", 0, written))
    assert (await users.get("a")).valid_until == end
    await users.close()


@pytest.mark.parametrize(
    ("written", "end"), [("'2027-07-31'", datetime(2027, 7, 31, tzinfo=UTC)), ("'9999-12-31 23:59:59.999999'", ENDLESS)]
)
async def test_ends_in_mysql(written: str, end: datetime, empty_mysql: MySQLSettings) -> None:
    users = SQLUserRepository(empty_mysql.database())
    await users.open()
    empty_mysql.query(INSERT.format("student", 0, written))
    assert (await users.get("a")).valid_until == end
    await users.close()


@pytest.mark.parametrize(("written", "role"), [("admin", Role.ADMIN), ("Admin", Role.STUDENT), ("", Role.STUDENT)])
async def test_roles(written: str, role: Role, tmp_path: Path, empty_mysql: MySQLSettings) -> None:
    file = SQLiteFile(tmp_path)
    for users, query in (
        (SQLUserRepository(SQLiteDatabase(file.path)), file.query),
        (SQLUserRepository(empty_mysql.database()), empty_mysql.query),
    ):
        await users.open()
        query(INSERT.format(written, 1, "NULL"))
        assert ((await users.get("a")).role, (await users.get("a")).paused) == (role, True)
        await users.close()
