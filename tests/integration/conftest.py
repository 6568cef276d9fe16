"""Running services that the tests of the HTTP face share; each test looks at images and tags of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from tests.mysql_servers import MySQLSettings, fresh_database
from tests.service import Service

ALICE, BOB = ("alice", "pässword: 密"), ("bob", "secret")


@pytest.fixture(scope="session", params=["sqlite", "mysql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on each database, with the default settings, and alice and bob on its roster."""
    folder = tmp_path_factory.mktemp("service")
    if request.param == "sqlite":
        yield from _running(folder)
    else:
        with fresh_database(request.getfixturevalue("mysql_server")) as database:
            yield from _running(folder, PIXYPROXY_REPOSITORY="mysql", **database.environment())


@pytest.fixture(scope="session", params=["none", "read", "write"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for each thing that anonymous callers may be allowed to do."""
    yield from _running(tmp_path_factory.mktemp("guarded"), PIXYPROXY_ANONYMOUS=request.param)


@pytest.fixture
async def database(empty_mysql: MySQLSettings) -> AsyncIterator[MySQLDatabase]:
    """A MySQL database of a test's own, opened."""
    database = empty_mysql.database()
    await database.open("test")
    yield database
    await database.close("test")


def _running(folder: Path, **values: str) -> Iterator[Service]:
    with Service(folder, **values) as service:
        service.add_user(*ALICE, class_key="cs101")
        service.add_user(*BOB)
        yield service
