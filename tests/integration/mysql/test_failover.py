"""Another server takes the writes: connections to the old one are given up without a restart."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pymysql
import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.error_translation import refuses_writes
from pixyproxy.adapters.mysql.migrations import migrate
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.user_repository import SQLUserRepository
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.user import User
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.images import make_draft
from tests.fixtures.sql.forwarder import Forwarder
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, in_thread

POOL = 3


@pytest.fixture
def settings(
    private_mariadb: PrivateMariaDB, mysql_settings: MySQLSettings
) -> Iterator[tuple[MySQLSettings, MySQLSettings]]:
    """Yield the same database on two servers, with an account that may not write to one that is read-only."""
    account = f"{mysql_settings.name[-20:]}@'127.0.0.1'"
    both = (replace(private_mariadb.settings, name=mysql_settings.name), mysql_settings)
    in_thread(lambda: migrate(both[0].database().server))
    for server in both:
        server.query(f"CREATE USER {account} IDENTIFIED BY 'secret'")
        server.query(f"GRANT ALL ON {server.name}.* TO {account}")
    yield both
    private_mariadb.settings.query("SET GLOBAL read_only = 0")
    for server in both:
        server.query(f"DROP USER {account}")


def through(forwarder: Forwarder, settings: MySQLSettings) -> MySQLDatabase:
    account = replace(settings, user=settings.name[-20:], password="secret")
    return replace(account, port=forwarder.port).database(pool_size=POOL)


async def test_writes_and_reads_go_to_the_new_writer_without_a_restart(
    settings: tuple[MySQLSettings, MySQLSettings],
) -> None:
    old, new = settings
    with Forwarder(old.port) as forwarder:
        database = through(forwarder, old)
        images, users = SQLImageRepository(database), SQLUserRepository(database)
        await images.open()
        await users.open()
        await asyncio.gather(*(add_ready(images) for _ in range(20)))
        await images.ping()
        assert old.connections() > 1

        old.query("SET GLOBAL read_only = 1")
        with pytest.raises(DBConnectionError, match="takes no writes"):
            await images.ping()
        for write in (images.add(make_draft()), users.add(User("alice", None, "h"))):
            with pytest.raises(DBConnectionError, match="takes no writes"):
                await write
        assert old.query("SELECT COUNT(*) FROM images") == ((20,),)

        await asyncio.gather(*(images.ping() for _ in range(20)), return_exceptions=True)
        forwarder.target = new.port
        await users.add(User("alice", None, "h"))
        await asyncio.sleep(1.1)  # connections to a server that is read-only are kept for a second
        await images.ping()
        added = await asyncio.gather(*(add_ready(images) for _ in range(20)))
        for image in added:
            assert await images.get(image.guid) == image
        assert old.connections() == 0
        assert old.query("SELECT COUNT(*) FROM images") == ((20,),)
        await users.close()
        await images.close()


async def test_the_first_write_after_the_move_succeeds(settings: tuple[MySQLSettings, MySQLSettings]) -> None:
    old, new = settings
    with Forwarder(old.port) as forwarder:
        images = SQLImageRepository(through(forwarder, old))
        await images.open()
        await add_ready(images)
        old.query("SET GLOBAL read_only = 1")
        forwarder.target = new.port
        image = await images.add(make_draft())
        assert new.query("SELECT guid FROM images") == ((image.guid,),)
        await images.close()


async def test_a_privileged_account_does_not_count_as_writing(settings: tuple[MySQLSettings, MySQLSettings]) -> None:
    images = SQLImageRepository(settings[0].database())
    await images.open()
    settings[0].query("SET GLOBAL read_only = 1")
    with pytest.raises(DBConnectionError, match="takes no writes"):
        await images.ping()
    await images.close()


@pytest.mark.parametrize("number", [1036, 1047, 1290, 1792, 1836, 1874, 3032])
def test_errors_of_a_server_that_takes_no_writes(number: int) -> None:
    assert refuses_writes(pymysql.err.OperationalError(number, "refused"))


@pytest.mark.parametrize("number", [1062, 1205, 1209, 1213, 2013])
def test_other_errors(number: int) -> None:
    assert not refuses_writes(pymysql.err.OperationalError(number, "refused"))
