"""Fixtures that tests of several kinds share."""

from collections.abc import Iterator

import pytest

from tests.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database, shared_server


@pytest.fixture(scope="session")
def mysql_server() -> MySQLSettings:
    """The MySQL server for tests, without a database."""
    return shared_server()


@pytest.fixture
def mysql_settings(mysql_server: MySQLSettings) -> Iterator[MySQLSettings]:
    """A fresh, migrated database, dropped at the end."""
    with fresh_database(mysql_server) as settings:
        yield settings


@pytest.fixture(scope="module")
def module_mysql(mysql_server: MySQLSettings) -> Iterator[MySQLSettings]:
    with fresh_database(mysql_server) as settings:
        yield settings


@pytest.fixture
def empty_mysql(module_mysql: MySQLSettings) -> MySQLSettings:
    """A migrated database without rows; quicker than a fresh one, for it is shared by the tests of a module."""
    module_mysql.query("DELETE FROM images")
    module_mysql.query("DELETE FROM roster")
    return module_mysql


@pytest.fixture(scope="module")
def private_mariadb() -> Iterator[PrivateMariaDB]:
    """A running MariaDB server that the tests of a module have to themselves."""
    with PrivateMariaDB() as server:
        yield server
