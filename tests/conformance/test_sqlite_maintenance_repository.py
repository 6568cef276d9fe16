"""The SQLite maintenance repository keeps the contract."""

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from pixyproxy.adapters.sql.mapping import from_time, to_time
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SLICE, SQLMaintenanceRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import ConstraintViolationError, DBConnectionError
from pixyproxy.ports.maintenance_repository import BindingState, StoreIdentity, Totals
from tests.conformance.contracts.maintenance_repository import (
    LEASE,
    NOW,
    Lease,
    MaintenanceRepositoryContract,
    MaintenanceStorage,
    restorable,
)
from tests.fixtures.sql.sqlite_storage import SQLiteFile


class SQLiteRecords(SQLiteFile, MaintenanceStorage):
    def repository(self) -> SQLMaintenanceRepository:
        return SQLMaintenanceRepository(SQLiteDatabase(self.path))

    def images(self) -> SQLImageRepository:
        return SQLImageRepository(SQLiteDatabase(self.path))

    def lease(self, guid: str) -> Lease:
        (row,) = self.query("SELECT lease_owner, lease_expires_at FROM images WHERE guid = ?", guid)
        return row[0], None if row[1] is None else from_time(row[1])

    def set_lease(self, guid: str, owner: str | None, until: datetime | None) -> None:
        end = None if until is None else to_time(until)
        self.query("UPDATE images SET lease_owner = ?, lease_expires_at = ? WHERE guid = ?", owner, end, guid)

    def child_rows(self) -> int:
        return self.count("image_postings")


class TestSQLiteMaintenanceRepository(MaintenanceRepositoryContract):
    adapter = SQLMaintenanceRepository
    database = SQLiteDatabase

    @pytest.fixture
    def storage(self, tmp_path: Path) -> SQLiteRecords:
        return SQLiteRecords(tmp_path)

    async def test_totals_of_more_rows_than_one_slice_holds(
        self, storage: SQLiteRecords, repository: SQLMaintenanceRepository
    ) -> None:
        storage.query(
            """WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
            INSERT INTO images (id, guid, filename, filename_folded, prompt, tags, visibility, status, created_at,
                updated_at, generator, parameters, size_bytes)
            SELECT 3 * n, n, '', '', '', '[]', 'public', CASE WHEN n % 5 THEN 'ready' ELSE 'unknown' END, '', '',
                'sketch', '{}', n FROM numbers""",
            2 * SLICE + 5,
        )
        sizes = [n for n in range(1, 2 * SLICE + 6) if n % 5]
        assert await repository.totals() == Totals(len(sizes), sum(sizes))

    async def test_an_outage_is_an_outage(self, storage: SQLiteRecords, repository: SQLMaintenanceRepository) -> None:
        image = restorable()
        await repository.restore(image)
        storage.path.rename(storage.path.with_suffix(".away"))
        for call in (
            repository.renew_leases("web1-1", NOW),
            repository.expired(NOW, 1),
            repository.take_over(image.guid, "web1-1", NOW, NOW + LEASE),
            repository.statuses([image.guid]),
            repository.walk(0, 1),
            repository.totals(),
            repository.restore(image),
            repository.newest(1),
            repository.uncertain(1),
            repository.identity(),
            repository.save_identity(StoreIdentity(image.guid, BindingState.BOUND)),
        ):
            with pytest.raises(DBConnectionError):
                await call
        storage.path.with_suffix(".away").rename(storage.path)
        assert await repository.totals() == Totals(1, image.result.size_bytes or 0)

    async def test_a_violated_rule_other_than_of_the_guid_is_no_known_image(
        self, storage: SQLiteRecords, repository: SQLMaintenanceRepository
    ) -> None:
        with closing(sqlite3.connect(storage.path)) as connection, connection:
            connection.execute("CREATE UNIQUE INDEX by_hand ON images (sha256)")
        first, second = restorable(), restorable()
        assert await repository.restore(first) is True
        with pytest.raises(ConstraintViolationError):
            await repository.restore(second)
        assert list(await repository.statuses([first.guid, second.guid])) == [first.guid]
