"""Contract tests for all copiers of rows."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pixyproxy.domain.accounts.api_key import ApiKey
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation import IdempotencyClaim
from pixyproxy.domain.image import Failure, Status, Visibility
from pixyproxy.domain.money.budgets import Budget, Per
from pixyproxy.domain.money.charges import Reservation
from pixyproxy.domain.user import Role, User
from pixyproxy.plugins import Repositories
from pixyproxy.ports.row_copier import ComparedTable, RowCopier
from tests.conformance.contracts.image_repository import STRANGE_TEXTS, found
from tests.fixtures.images import NOW, make_draft, make_result

COPIED = {"images", "image_postings", "roster", "removed_users", "api_keys", "sessions", "charges", "budgets"}


def ignore(table: str, done: int, of: int) -> None:
    assert 0 <= done <= of


class CopiedStorage(ABC):
    """Two databases under test."""

    @abstractmethod
    def copier(self) -> RowCopier:
        """Return a new, unopened copier from the source to the target."""

    @abstractmethod
    def source(self) -> Repositories:
        """Return new, unopened repositories of the source."""

    @abstractmethod
    def target(self) -> Repositories:
        """Return new, unopened repositories of the target."""

    @abstractmethod
    def query_source(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run a statement on the source without the adapter."""

    @abstractmethod
    def target_without_equal_caps(self) -> AbstractContextManager[None]:
        """Have the target refuse two budgets of the same amount."""

    @abstractmethod
    def query_target(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run a statement on the target without the adapter."""


async def opened(repositories: Repositories) -> Repositories:
    for part in (repositories.images, repositories.users, repositories.api_keys, repositories.ledger):
        await part.open()
    await repositories.maintenance.open()
    return repositories


async def closed(repositories: Repositories) -> None:
    for part in (repositories.images, repositories.users, repositories.api_keys, repositories.ledger):
        await part.close()
    await repositories.maintenance.close()


class RowCopierContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[RowCopier]

    @pytest.fixture
    async def source(self, storage: CopiedStorage) -> AsyncIterator[Repositories]:
        repositories = await opened(storage.source())
        yield repositories
        await closed(repositories)

    @pytest.fixture
    async def target(self, storage: CopiedStorage) -> AsyncIterator[Repositories]:
        repositories = await opened(storage.target())
        yield repositories
        await closed(repositories)

    @pytest.fixture
    async def copier(
        self, storage: CopiedStorage, source: Repositories, target: Repositories
    ) -> AsyncIterator[RowCopier]:
        copier = storage.copier()
        assert type(copier) is self.adapter
        await copier.open()
        yield copier
        await copier.close()

    async def fill(self, source: Repositories, images: int = 3) -> None:
        await source.users.add(User("alice", "9a", "hash of alice", role=Role.TEACHER, valid_until=NOW))
        await source.users.add(User("鴨", None, "hash", paused=True, password_set_by="alice"))
        await source.users.add(User("carol", "9a", "hash"))
        await source.users.remove("carol")
        await source.api_keys.add(ApiKey("k1", "alice", "a name", "d" * 64, NOW))
        await source.ledger.set_budget(Budget("class:9a", Per.MONTH, Decimal(125)), NOW)
        for number in range(images):
            prompt = STRANGE_TEXTS[number] if number < len(STRANGE_TEXTS) else f"a duck, number {number}"
            draft = make_draft(
                prompt=prompt,
                author="alice" if number % 2 else None,
                tags=("duck", "ente"),
                visibility=Visibility.PRIVATE if number % 4 == 3 else Visibility.PUBLIC,
                created_at=NOW + timedelta(microseconds=number),
                claim=IdempotencyClaim("alice", f"key-{number}", "f" * 64),
                reservation=Reservation(Decimal("0.25"), "test"),
                derived_from=("00000000-0000-4000-8000-000000000000",),
            )
            image = await source.images.add(draft)
            if number % 3 == 0:
                await source.images.mark_ready(image.guid, make_result(usage={"n": "é"}), NOW)
            elif number % 3 == 1:
                await source.images.mark_failed(image.guid, Status.UNKNOWN, Failure("x", "y\n鴨"), NOW)

    async def test_everything_is_the_same_in_the_copy(
        self, copier: RowCopier, source: Repositories, target: Repositories
    ) -> None:
        await self.fill(source, 12)
        await copier.copy(ignore)
        tables = await copier.compare(ignore)
        assert {table.name for table in tables} >= COPIED
        assert [table.name for table in tables] == sorted(table.name for table in tables)
        assert not [table for table in tables if table.different]
        counts = {table.name: table.rows for table in tables}
        assert (counts["images"], counts["charges"], counts["roster"], counts["api_keys"]) == (12, 12, 2, 1)
        assert await target.maintenance.walk(0, 100) == await source.maintenance.walk(0, 100)
        assert await target.users.list() == await source.users.list()
        assert await target.ledger.budgets() == await source.ledger.budgets()
        assert await target.ledger.all_balances(NOW) == await source.ledger.all_balances(NOW)
        assert await target.ledger.discrepancies() == ()
        queries: list[dict[str, Any]] = [{"tags": ("duck",)}, {"terms": ("duck",)}, {"author": "alice"}]
        for query in queries:
            for viewer in (None, "alice"):
                copied = await found(target.images, viewer=viewer, **query)
                assert copied == await found(source.images, viewer=viewer, **query)

    async def test_a_new_image_follows_those_that_were_copied(
        self, copier: RowCopier, source: Repositories, target: Repositories
    ) -> None:
        await self.fill(source)
        await copier.copy(ignore)
        last = (await target.maintenance.walk(0, 100))[-1]
        assert (await target.images.add(make_draft())).id > last.id

    async def test_a_copy_that_was_cut_short_goes_on(
        self, copier: RowCopier, source: Repositories, target: Repositories, storage: CopiedStorage
    ) -> None:
        await self.fill(source, 250)
        seen: list[tuple[str, int, int]] = []

        class CutShortError(Exception):
            pass

        def cut(table: str, done: int, of: int) -> None:
            seen.append((table, done, of))
            if table == "images":
                raise CutShortError

        with pytest.raises(CutShortError):
            await copier.copy(cut)
        assert 0 < storage.query_target("SELECT COUNT(*) FROM images")[0][0] < 250
        assert sum(table.different for table in await copier.compare(ignore)) > 150
        await copier.copy(lambda *progress: seen.append(progress))
        assert not [table for table in await copier.compare(ignore) if table.different]
        assert {table for table, done, of in seen if done == of} >= COPIED
        assert all(done <= of for _, done, of in seen)

    async def test_the_target_becomes_what_the_source_is(
        self, copier: RowCopier, source: Repositories, target: Repositories
    ) -> None:
        await self.fill(source, 5)
        await copier.copy(ignore)
        images = await source.maintenance.walk(0, 100)
        await source.images.delete(images[0].guid)
        await source.images.mark_ready(images[1].guid, make_result(), NOW)
        await source.users.remove("鴨")
        await target.images.add(make_draft(prompt="of the target alone"))
        assert {table.name for table in await copier.compare(ignore) if table.different} >= {"images", "roster"}
        await copier.copy(ignore)
        assert not [table for table in await copier.compare(ignore) if table.different]
        assert await target.maintenance.walk(0, 100) == await source.maintenance.walk(0, 100)

    async def test_nothing_in_the_source_is_changed(self, copier: RowCopier, source: Repositories) -> None:
        await self.fill(source, 5)
        before = await source.maintenance.walk(0, 100), await source.users.list()
        await copier.copy(ignore)
        assert (await source.maintenance.walk(0, 100), await source.users.list()) == before

    async def test_compare_counts_what_only_one_has(
        self, copier: RowCopier, source: Repositories, storage: CopiedStorage
    ) -> None:
        await self.fill(source, 5)
        await copier.copy(ignore)
        storage.query_target("UPDATE charges SET cost = 7 WHERE state = 'reserved'")
        storage.query_target("DELETE FROM budgets")
        different = [table for table in await copier.compare(ignore) if table.different]
        # A changed row counts twice: each database has one that the other has not.
        assert different == [ComparedTable("budgets", 1, 1), ComparedTable("charges", 5, 2)]

    async def test_is_empty_until_anything_was_copied(self, copier: RowCopier, source: Repositories) -> None:
        assert await copier.is_empty()
        await source.ledger.set_budget(Budget("service", Per.DAY, Decimal(1)), NOW)
        assert await copier.is_empty()
        await copier.copy(ignore)
        assert not await copier.is_empty()

    async def test_the_identity_and_leases_are_not_copied(
        self, copier: RowCopier, source: Repositories, target: Repositories
    ) -> None:
        await source.maintenance.acquire_lease("sweep", "one", NOW, NOW + timedelta(days=1))
        await copier.copy(ignore)
        assert await target.maintenance.acquire_lease("sweep", "other", NOW, NOW)
        assert await target.maintenance.identity() is None

    async def test_rows_that_the_target_refuses_are_named(
        self, copier: RowCopier, source: Repositories, storage: CopiedStorage
    ) -> None:
        for scope in ("service", "class:9a"):
            storage.query_source(f"INSERT INTO budgets (scope, per, cap) VALUES ('{scope}', 'month', 5)")
        with storage.target_without_equal_caps():
            with pytest.raises(DataValidationError, match="refuses rows of the table budgets"):
                await copier.copy(ignore)
            assert storage.query_target("SELECT * FROM budgets") in ([], ())
