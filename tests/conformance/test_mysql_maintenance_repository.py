"""The MySQL maintenance repository keeps the contract, even if the response to a commit is lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.mapping import to_time
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.domain.errors import ConstraintViolationError, DBConnectionError
from pixyproxy.domain.image import Status
from pixyproxy.ports.maintenance_repository import Totals
from tests.conformance.contracts.image_repository import make_draft, make_result
from tests.conformance.contracts.maintenance_repository import (
    LEASE,
    NOW,
    TICK,
    Lease,
    MaintenanceRepositoryContract,
    MaintenanceStorage,
    add_leased,
    restorable,
)
from tests.fixtures.sql.mysql_commit_cutter import CommitCutter
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database
from tests.fixtures.sql.mysql_storage import MySQLTables


class MySQLRecords(MySQLTables, MaintenanceStorage):
    def repository(self) -> SQLMaintenanceRepository:
        return SQLMaintenanceRepository(self.settings.database())

    def images(self) -> SQLImageRepository:
        return SQLImageRepository(self.settings.database())

    def lease(self, guid: str) -> Lease:
        ((owner, until),) = self.query("SELECT lease_owner, lease_expires_at FROM images WHERE guid = %s", guid)
        return owner, None if until is None else until.replace(tzinfo=UTC)

    def set_lease(self, guid: str, owner: str | None, until: datetime | None) -> None:
        end = None if until is None else to_time(until)
        self.query("UPDATE images SET lease_owner = %s, lease_expires_at = %s WHERE guid = %s", owner, end, guid)

    def child_rows(self) -> int:
        return self.count("image_postings")


class TestMySQLMaintenanceRepository(MaintenanceRepositoryContract):
    adapter = SQLMaintenanceRepository
    database = MySQLDatabase

    @pytest.fixture
    def storage(self, empty_mysql: MySQLSettings) -> MySQLRecords:
        return MySQLRecords(empty_mysql)

    async def test_a_violated_rule_other_than_of_the_guid_is_no_known_image(
        self, storage: MySQLRecords, repository: SQLMaintenanceRepository
    ) -> None:
        storage.query("ALTER TABLE images ADD UNIQUE KEY by_hand (sha256)")
        try:
            first, second = restorable(), restorable()
            assert await repository.restore(first) is True
            with pytest.raises(ConstraintViolationError):
                await repository.restore(second)
            assert list(await repository.statuses([first.guid, second.guid])) == [first.guid]
        finally:
            storage.query("ALTER TABLE images DROP KEY by_hand")


class TestLostCommit:
    """The connection breaks during the commit: before it reaches the server, or before the response arrives."""

    @pytest.fixture
    def storage(self, private_mariadb: PrivateMariaDB) -> Iterator[MySQLRecords]:
        """Yield a server without TLS, so that the proxy can parse the traffic."""
        with fresh_database(private_mariadb.settings) as settings:
            yield MySQLRecords(settings)

    @pytest.fixture
    async def cutter(self, storage: MySQLRecords) -> AsyncIterator[CommitCutter]:
        async with CommitCutter(storage.settings.host, storage.settings.port) as cutter:
            yield cutter

    @pytest.fixture
    async def repository(self, storage: MySQLRecords, cutter: CommitCutter) -> AsyncIterator[SQLMaintenanceRepository]:
        """Yield a repository whose connections go through the proxy."""
        settings = replace(storage.settings, host="127.0.0.1", port=cutter.port)
        repository = SQLMaintenanceRepository(settings.database(pool_size=1))
        await repository.open()
        yield repository
        await repository.close()

    @pytest.fixture
    async def other(self, storage: MySQLRecords) -> AsyncIterator[SQLMaintenanceRepository]:
        """Yield a repository that connects to the server directly."""
        other = storage.repository()
        await other.open()
        yield other
        await other.close()

    @pytest.fixture
    async def images(self, storage: MySQLRecords) -> AsyncIterator[SQLImageRepository]:
        images = storage.images()
        await images.open()
        yield images
        await images.close()

    async def test_take_over_that_took_effect(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        images: SQLImageRepository,
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW - TICK)
        cutter.cut_after_commit()
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is True
        assert cutter.cuts == 1
        assert storage.lease(image.guid) == ("web1-2", NOW + LEASE)

    async def test_take_over_that_took_effect_and_was_renewed(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        other: SQLMaintenanceRepository,
        images: SQLImageRepository,
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW - TICK)

        async def renew() -> None:
            assert await other.renew_leases("web1-2", NOW + 2 * LEASE) == 1

        cutter.cut_after_commit(renew)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is True
        assert cutter.cuts == 1
        assert storage.lease(image.guid) == ("web1-2", NOW + 2 * LEASE)

    @pytest.mark.parametrize("former", ["web1-1", "web1-2"])
    async def test_take_over_without_effect(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        images: SQLImageRepository,
        former: str,
    ) -> None:
        image = await add_leased(storage, images, former, NOW - TICK)
        cutter.cut_before_commit()
        with pytest.raises(DBConnectionError):
            await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE)
        assert cutter.cuts == 1
        assert storage.lease(image.guid) == (former, NOW - TICK)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is True

    async def test_take_over_without_effect_while_another_succeeds(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        other: SQLMaintenanceRepository,
        images: SQLImageRepository,
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW - TICK)

        async def take() -> None:
            assert await other.take_over(image.guid, "web1-3", NOW, NOW + LEASE) is True

        cutter.cut_before_commit(take)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is False
        assert cutter.cuts == 1
        assert storage.lease(image.guid) == ("web1-3", NOW + LEASE)

    @pytest.mark.parametrize("ending", ["settled", "deleted"])
    async def test_take_over_of_a_lease_that_ended_meanwhile(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        images: SQLImageRepository,
        ending: str,
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW - TICK)

        async def end() -> None:
            if ending == "settled":
                await images.mark_ready(image.guid, make_result(), NOW)
            else:
                await images.delete(image.guid)

        cutter.cut_before_commit(end)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is False
        assert cutter.cuts == 1

    async def test_renewal_that_took_effect(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        images: SQLImageRepository,
    ) -> None:
        leased = [await add_leased(storage, images, "web1-1", NOW + 2 * i * LEASE) for i in range(2)]
        cutter.cut_after_commit()
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 2
        assert cutter.cuts == 1
        assert [storage.lease(image.guid)[1] for image in leased] == [NOW + LEASE, NOW + 2 * LEASE]

    async def test_renewal_that_did_not(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        images: SQLImageRepository,
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW)
        await add_leased(storage, images, "web1-1", NOW + 2 * LEASE)
        cutter.cut_before_commit()
        with pytest.raises(DBConnectionError):
            await repository.renew_leases("web1-1", NOW + LEASE)
        assert cutter.cuts == 1
        assert storage.lease(image.guid) == ("web1-1", NOW)
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 2

    async def test_renewal_of_nothing(self, cutter: CommitCutter, repository: SQLMaintenanceRepository) -> None:
        cutter.cut_before_commit()
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 0
        assert cutter.cuts == 1

    async def test_acquisition_that_took_effect(
        self, cutter: CommitCutter, repository: SQLMaintenanceRepository, other: SQLMaintenanceRepository
    ) -> None:
        for until in (NOW + LEASE, NOW + 2 * LEASE):  # inserted, then renewed
            cutter.cut_after_commit()
            assert await repository.acquire_lease("sweep", "web1-1", NOW, until) is True
        assert cutter.cuts == 2
        assert await other.acquire_lease("sweep", "web1-2", NOW + 2 * LEASE, NOW + 3 * LEASE) is False

    async def test_acquisition_that_did_not(
        self, cutter: CommitCutter, repository: SQLMaintenanceRepository, other: SQLMaintenanceRepository
    ) -> None:
        for until in (NOW + LEASE, NOW + 2 * LEASE):
            cutter.cut_before_commit()
            with pytest.raises(DBConnectionError):
                await repository.acquire_lease("sweep", "web1-1", NOW, until)
            assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is True
        assert cutter.cuts == 2
        assert await other.acquire_lease("sweep", "web1-2", NOW + LEASE + TICK, NOW + 2 * LEASE) is True

    async def test_acquisition_that_did_not_and_another_was_quicker(
        self, cutter: CommitCutter, repository: SQLMaintenanceRepository, other: SQLMaintenanceRepository
    ) -> None:
        async def acquire() -> None:
            assert await other.acquire_lease("sweep", "web1-2", NOW, NOW + LEASE) is True

        cutter.cut_before_commit(acquire)
        assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is False
        assert cutter.cuts == 1

    async def test_restore_that_took_effect(
        self, storage: MySQLRecords, cutter: CommitCutter, repository: SQLMaintenanceRepository
    ) -> None:
        image = restorable()
        cutter.cut_after_commit()
        assert await repository.restore(image) is True
        assert cutter.cuts == 1
        assert await repository.statuses([image.guid]) == {image.guid: Status.READY}
        assert storage.child_rows() > 0

    async def test_restore_that_did_not(
        self, storage: MySQLRecords, cutter: CommitCutter, repository: SQLMaintenanceRepository
    ) -> None:
        image = restorable()
        cutter.cut_before_commit()
        with pytest.raises(DBConnectionError):
            await repository.restore(image)
        assert cutter.cuts == 1
        assert (await repository.statuses([image.guid]), storage.child_rows()) == ({}, 0)
        assert await repository.restore(image) is True

    async def test_restore_that_did_not_and_another_was_quicker(
        self, cutter: CommitCutter, repository: SQLMaintenanceRepository, other: SQLMaintenanceRepository
    ) -> None:
        image = restorable()

        async def restore() -> None:
            # The same image twice: only the id distinguishes the rows.
            assert await other.restore(image) is True

        cutter.cut_before_commit(restore)
        assert await repository.restore(image) is False
        assert cutter.cuts == 1
        assert await repository.totals() == Totals(1, image.result.size_bytes or 0)

    async def test_the_outcome_is_unknown_while_the_server_is_away(
        self,
        storage: MySQLRecords,
        cutter: CommitCutter,
        repository: SQLMaintenanceRepository,
        images: SQLImageRepository,
    ) -> None:
        image = await images.add(make_draft(lease_owner="web1-1", lease_expires_at=NOW - TICK))
        cutter.cut_after_commit(cutter.refuse)
        with pytest.raises(DBConnectionError):
            await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE)
        assert storage.lease(image.guid) == ("web1-2", NOW + LEASE)
        for call in (repository.expired(NOW, 1), repository.statuses([image.guid]), repository.walk(0, 1)):
            with pytest.raises(DBConnectionError):
                await call
        for write in (repository.renew_leases("web1-2", NOW), repository.restore(restorable()), repository.totals()):
            with pytest.raises(DBConnectionError):
                await asyncio.wait_for(write, 10)
