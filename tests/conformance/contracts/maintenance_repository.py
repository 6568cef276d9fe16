"""Contract tests for every maintenance repository."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation import IdempotencyClaim
from pixyproxy.domain.image import Failure, Image, ImageChanges, Status, Visibility, new_guid
from pixyproxy.domain.query import ImageQuery
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import (
    BindingState,
    MaintenanceRepository,
    RowSummary,
    StoreIdentity,
    Totals,
)
from tests.conformance.contracts.image_repository import STRANGE_TEXTS, add_ready, found
from tests.fixtures.images import NOW, alter, make_draft, make_image, make_result

TICK = timedelta(microseconds=1)
LEASE = timedelta(minutes=6)
Lease = tuple[str | None, datetime | None]
SOURCE = "0b9f1c2d-0000-4000-8000-000000000000"
NO_GUIDS = ("", "' OR '1'='1", "猫", "x" * 36, "🦆" * 36)


class MaintenanceStorage(ABC):
    """Storage under test: makes repositories on it, and reads it without the adapter."""

    @abstractmethod
    def repository(self) -> MaintenanceRepository:
        """Return a new, unopened repository on this storage."""

    @abstractmethod
    def images(self) -> ImageRepository:
        """Return a new, unopened image repository on this storage."""

    @abstractmethod
    def lease(self, guid: str) -> Lease:
        """Return the stored owner and end of an image's lease; raises if there is no such image."""

    @abstractmethod
    def set_lease(self, guid: str, owner: str | None, until: datetime | None) -> None:
        """Write the lease of an image without the adapter; None clears it."""

    @abstractmethod
    def child_rows(self) -> int:
        """Return the number of rows for tags, search terms and sources."""

    @abstractmethod
    def open_handles(self) -> int:
        """Return the number of connections, threads and files that the repositories hold open."""


class MaintenanceRepositoryContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[MaintenanceRepository]
    database: type | None = None

    @pytest.fixture
    async def repository(self, storage: MaintenanceStorage) -> AsyncIterator[MaintenanceRepository]:
        repository = storage.repository()
        assert type(repository) is self.adapter
        assert self.database is None or type(repository._database) is self.database
        await repository.open()
        yield repository
        await repository.close()
        assert storage.open_handles() == 0

    @pytest.fixture
    async def images(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository
    ) -> AsyncIterator[ImageRepository]:
        images = storage.images()
        await images.open()
        yield images
        await images.close()

    @pytest.fixture
    async def others(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository
    ) -> AsyncIterator[list[MaintenanceRepository]]:
        """Yield three more repositories, each with its own connections."""
        others = [storage.repository() for _ in range(3)]
        for other in others:
            await other.open()
        yield others
        for other in others:
            await other.close()

    # Opening and closing

    async def test_closing_frees_everything_and_reopening_works(self, storage: MaintenanceStorage) -> None:
        repository = storage.repository()
        await repository.close()
        await repository.open()
        image = restorable()
        assert await repository.restore(image)
        await asyncio.gather(*(repository.statuses([image.guid]) for _ in range(20)))
        await repository.close()
        await repository.close()
        assert storage.open_handles() == 0
        await repository.open()
        assert await repository.statuses([image.guid]) == {image.guid: Status.READY}
        await repository.close()
        assert storage.open_handles() == 0

    async def test_another_repository_sees_everything(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository], images: ImageRepository
    ) -> None:
        image = restorable()
        assert await repository.restore(image)
        for other in others:
            assert await other.statuses([image.guid]) == {image.guid: Status.READY}
            assert await other.walk(0, 10) == (await images.get(image.guid),)

    # Leases

    async def test_the_lease_of_a_draft_counts(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        image = await images.add(make_draft(lease_owner="web1-1", lease_expires_at=NOW))
        assert storage.lease(image.guid) == ("web1-1", NOW)
        assert await repository.expired(NOW, 10) == ()
        assert not await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE)
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 1
        assert storage.lease(image.guid) == ("web1-1", NOW + LEASE)

    # renew_leases

    async def test_renew_leases_extends_and_counts_the_leases_of_this_owner(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        own = [await add_leased(storage, images, "web1-1", NOW + i * TICK) for i in range(3)]
        foreign = [
            await add_leased(storage, images, name, NOW) for name in ("web1-11", "WEB1-1", "web1-1 ", "wéb1-1", "%", "")
        ]
        free = await add_leased(storage, images, None, None)
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 3
        assert [storage.lease(image.guid) for image in own] == [("web1-1", NOW + LEASE)] * 3
        assert {storage.lease(image.guid)[1] for image in foreign} == {NOW}
        assert storage.lease(free.guid) == (None, None)

    async def test_renew_leases_counts_unchanged_leases_too(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        await add_leased(storage, images, "web1-1", NOW)
        for _ in range(2):
            assert await repository.renew_leases("web1-1", NOW + LEASE) == 1

    async def test_renew_leases_extends_and_never_shortens(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        long = await add_leased(storage, images, "web1-1", NOW + LEASE)
        short = await add_leased(storage, images, "web1-1", NOW)
        assert await repository.renew_leases("web1-1", NOW + TICK) == 2
        assert storage.lease(long.guid) == ("web1-1", NOW + LEASE)
        assert storage.lease(short.guid) == ("web1-1", NOW + TICK)

    async def test_renew_leases_ignores_settled_images(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        settled = await add_settled(images)
        for image in settled:
            storage.set_lease(image.guid, "web1-1", NOW)
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 0
        assert {storage.lease(image.guid) for image in settled} == {("web1-1", NOW)}
        assert await repository.renew_leases("nobody", NOW + LEASE) == 0

    # lease_owners and end_leases

    async def test_lease_owners_are_those_of_generating_images(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        assert await repository.lease_owners() == frozenset()
        for name in ("web1-1", "web1-1", "WEB1-1", None):
            await add_leased(storage, images, name, None if name is None else NOW)
        for image in await add_settled(images):
            storage.set_lease(image.guid, "settled", NOW)
        assert await repository.lease_owners() == {"web1-1", "WEB1-1"}

    async def test_end_leases_shortens_the_leases_of_this_owner(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        long = await add_leased(storage, images, "web1-1", NOW + LEASE)
        short = await add_leased(storage, images, "web1-1", NOW - TICK)
        foreign = [await add_leased(storage, images, name, NOW + LEASE) for name in ("WEB1-1", "web1-1 ")]
        settled = await add_settled(images)
        for image in settled:
            storage.set_lease(image.guid, "web1-1", NOW + LEASE)
        await repository.end_leases("web1-1", NOW)
        assert storage.lease(long.guid) == ("web1-1", NOW)
        assert storage.lease(short.guid) == ("web1-1", NOW - TICK)
        assert {storage.lease(image.guid)[1] for image in (*foreign, *settled)} == {NOW + LEASE}
        assert await repository.take_over(long.guid, "web1-2", NOW + TICK, NOW + LEASE)

    async def test_renew_leases_changes_nothing_else_of_the_image(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW)
        await repository.renew_leases("web1-1", NOW + LEASE)
        assert await images.get(image.guid) == image

    async def test_leases_are_renewed_while_images_are_added_and_settled(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        async def live() -> None:
            image = await images.add(make_draft(lease_owner="web1-1", lease_expires_at=NOW))
            await images.mark_ready(image.guid, make_result(), NOW)

        lives = asyncio.gather(*(live() for _ in range(40)))
        while not lives.done():
            await repository.renew_leases("web1-1", NOW + LEASE)
            await asyncio.sleep(0)
        await lives
        assert (await repository.totals()).images == 40
        assert await repository.renew_leases("web1-1", NOW + LEASE) == 0

    # expired

    async def test_expired_returns_images_with_an_ended_or_missing_lease(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        assert await repository.expired(NOW, 10) == ()
        ended = await add_leased(storage, images, "web1-1", NOW - TICK)
        await add_leased(storage, images, "web1-1", NOW)
        free = await add_leased(storage, images, None, None)
        await add_leased(storage, images, "web1-1", NOW + TICK)
        long_ended = await add_leased(storage, images, "web1-2", NOW - timedelta(days=400))
        assert await repository.expired(NOW, 10) == (ended, free, long_ended)
        assert await repository.expired(NOW.astimezone(timezone(timedelta(hours=9))), 10) == (ended, free, long_ended)

    async def test_expired_returns_generating_images_only(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        for image in await add_settled(images):
            storage.set_lease(image.guid, "web1-1", NOW - LEASE)
        await add_settled(images)
        assert await repository.expired(NOW, 10) == ()

    async def test_expired_returns_oldest_first_up_to_the_limit(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        # Ordered neither by the end of the leases nor by creation time.
        expired = [
            await add_leased(storage, images, "web1-1", NOW - i * TICK, created_at=NOW - i * TICK) for i in range(1, 8)
        ]
        for limit in (1, 3, 7, 8):
            assert await repository.expired(NOW, limit) == tuple(expired[:limit])

    # take_over

    @pytest.mark.parametrize("lease", [("web1-1", NOW - TICK), ("web1-2", NOW - LEASE), (None, None)], ids=str)
    async def test_take_over_takes_an_ended_lease(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository, lease: Lease
    ) -> None:
        image = await add_leased(storage, images, *lease)
        bystander = await add_leased(storage, images, *lease)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is True
        assert storage.lease(image.guid) == ("web1-2", NOW + LEASE)
        assert storage.lease(bystander.guid) == lease
        assert await images.get(image.guid) == image
        assert await repository.expired(NOW, 10) == (bystander,)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is False
        assert await repository.take_over(image.guid, "web1-3", NOW + LEASE, NOW + 2 * LEASE) is False
        assert await repository.take_over(image.guid, "web1-3", NOW + LEASE + TICK, NOW + 2 * LEASE) is True
        assert storage.lease(image.guid) == ("web1-3", NOW + 2 * LEASE)

    async def test_take_over_of_a_running_lease(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        for until in (NOW, NOW + TICK, NOW + LEASE):
            image = await add_leased(storage, images, "web1-1", until)
            for owner in ("web1-2", "web1-1"):
                assert await repository.take_over(image.guid, owner, NOW, NOW + 2 * LEASE) is False
            assert storage.lease(image.guid) == ("web1-1", until)

    async def test_take_over_of_a_settled_image(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        for lease in ((None, None), ("web1-1", NOW - LEASE)):
            for image in await add_settled(images):
                storage.set_lease(image.guid, *lease)
                assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is False
                assert storage.lease(image.guid) == lease
                assert await images.get(image.guid) == image

    async def test_take_over_of_a_missing_image(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW - TICK)
        for guid in (new_guid(), f"{image.guid} ", image.guid.upper(), *NO_GUIDS):
            assert await repository.take_over(guid, "web1-2", NOW, NOW + LEASE) is False
        assert storage.lease(image.guid) == ("web1-1", NOW - TICK)
        await images.delete(image.guid)
        assert await repository.take_over(image.guid, "web1-2", NOW, NOW + LEASE) is False

    async def test_one_of_several_concurrent_takers_succeeds(
        self,
        storage: MaintenanceStorage,
        repository: MaintenanceRepository,
        others: list[MaintenanceRepository],
        images: ImageRepository,
    ) -> None:
        takers = [repository, *others]
        for _ in range(10):
            image = await add_leased(storage, images, "web1-1", NOW - TICK)
            outcomes = await asyncio.gather(
                *(takers[i % 4].take_over(image.guid, f"taker-{i}", NOW, NOW + LEASE) for i in range(16))
            )
            assert sorted(outcomes) == [False] * 15 + [True]
            assert storage.lease(image.guid) == (f"taker-{outcomes.index(True)}", NOW + LEASE)

    async def test_concurrent_takers_share_many_images(
        self,
        storage: MaintenanceStorage,
        repository: MaintenanceRepository,
        others: list[MaintenanceRepository],
        images: ImageRepository,
    ) -> None:
        guids = [(await add_leased(storage, images, "web1-1", NOW - TICK)).guid for _ in range(12)]

        async def take_all(taker: MaintenanceRepository, name: str) -> list[str]:
            expired = await taker.expired(NOW, 20)
            return [image.guid for image in expired if await taker.take_over(image.guid, name, NOW, NOW + LEASE)]

        shares = await asyncio.gather(*(take_all(taker, f"taker-{i}") for i, taker in enumerate([repository, *others])))
        assert sorted(guid for share in shares for guid in share) == sorted(guids)
        for i, share in enumerate(shares):
            assert {storage.lease(guid)[0] for guid in share} <= {f"taker-{i}"}

    async def test_either_renewing_or_taking_over_succeeds(
        self,
        storage: MaintenanceStorage,
        repository: MaintenanceRepository,
        others: list[MaintenanceRepository],
        images: ImageRepository,
    ) -> None:
        for _ in range(10):
            image = await add_leased(storage, images, "web1-1", NOW - TICK)
            renewed, taken = await asyncio.gather(
                repository.renew_leases("web1-1", NOW + LEASE),
                others[0].take_over(image.guid, "web1-2", NOW, NOW + LEASE),
            )
            assert renewed == (0 if taken else 1)
            assert storage.lease(image.guid) == ("web1-2" if taken else "web1-1", NOW + LEASE)
            await images.delete(image.guid)

    # acquire_lease, release_lease

    async def test_acquire_lease_takes_a_free_one(self, repository: MaintenanceRepository) -> None:
        assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is True
        assert await repository.acquire_lease("sweep", "web1-2", NOW, NOW + LEASE) is False
        assert await repository.acquire_lease("verify", "web1-2", NOW, NOW + LEASE) is True
        assert await repository.acquire_lease("verify", "web1-1", NOW, NOW + LEASE) is False

    async def test_acquire_lease_is_seen_by_other_processes(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is True
        assert await others[0].acquire_lease("sweep", "web1-2", NOW, NOW + LEASE) is False
        assert await others[0].acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is True

    async def test_acquire_lease_takes_one_that_ended_before_now(self, repository: MaintenanceRepository) -> None:
        assert await repository.acquire_lease("sweep", "web1-1", NOW - LEASE, NOW) is True
        assert await repository.acquire_lease("sweep", "web1-2", NOW, NOW + LEASE) is False
        assert await repository.acquire_lease("sweep", "web1-2", NOW + TICK, NOW + LEASE) is True
        assert await repository.acquire_lease("sweep", "web1-1", NOW + LEASE, NOW + 2 * LEASE) is False

    async def test_acquire_lease_renews_its_own(self, repository: MaintenanceRepository) -> None:
        assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is True
        for _ in range(2):
            assert await repository.acquire_lease("sweep", "web1-1", NOW + TICK, NOW + 2 * LEASE) is True
        assert await repository.acquire_lease("sweep", "web1-2", NOW + 2 * LEASE, NOW + 3 * LEASE) is False
        # A late owner can renew too, as long as no other has taken the lease.
        assert await repository.acquire_lease("sweep", "web1-1", NOW + 3 * LEASE, NOW + 4 * LEASE) is True
        for name in ("web1-11", "WEB1-1", "web1-1 ", "wéb1-1", "%", ""):
            assert await repository.acquire_lease("sweep", name, NOW + 4 * LEASE, NOW + 5 * LEASE) is False

    async def test_one_of_several_owners_acquires_a_lease(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        processes = [repository, *others]
        for number in range(8):
            for now in (NOW, NOW + LEASE + TICK):  # there is no row yet, and then one that ended
                outcomes = await asyncio.gather(
                    *(
                        processes[i % 4].acquire_lease(f"task-{number}", f"owner-{i}", now, now + LEASE)
                        for i in range(16)
                    )
                )
                assert sorted(outcomes) == [False] * 15 + [True]
                owner = f"owner-{outcomes.index(True)}"
                assert await repository.acquire_lease(f"task-{number}", owner, now, now + LEASE) is True

    async def test_release_lease_makes_it_free(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE)
        await repository.acquire_lease("verify", "web1-1", NOW, NOW + LEASE)
        await repository.release_lease("sweep", "web1-1")
        assert await others[0].acquire_lease("verify", "web1-2", NOW, NOW + LEASE) is False
        assert await others[0].acquire_lease("sweep", "web1-2", NOW, NOW + LEASE) is True
        assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE) is False

    async def test_release_lease_of_another_owner_changes_nothing(self, repository: MaintenanceRepository) -> None:
        await repository.release_lease("sweep", "web1-1")
        await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE)
        for name in ("web1-2", "WEB1-1", "web1-1 ", ""):
            await repository.release_lease("sweep", name)
        assert await repository.acquire_lease("sweep", "web1-2", NOW, NOW + LEASE) is False

    async def test_a_lease_belongs_to_no_image(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        image = await add_leased(storage, images, "web1-1", NOW)
        await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE)
        await repository.release_lease("sweep", "web1-1")
        assert storage.lease(image.guid) == ("web1-1", NOW)

    # lease_position, save_lease_position

    async def test_a_position_is_saved_by_the_owner_of_the_lease_and_outlives_it(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        assert await repository.lease_position("sweep") == ""
        await repository.save_lease_position("sweep", "web1-1", "early")
        assert await repository.lease_position("sweep") == ""
        assert await repository.acquire_lease("sweep", "web1-1", NOW, NOW + LEASE)
        assert await repository.acquire_lease("verify", "web1-1", NOW, NOW + LEASE)
        assert await repository.lease_position("sweep") == ""
        await repository.save_lease_position("sweep", "web1-1", "7f")
        for name in ("web1-2", "WEB1-1", "web1-1 "):
            await others[0].save_lease_position("sweep", name, "of another")
        assert await others[0].lease_position("sweep") == "7f"
        assert await repository.lease_position("verify") == ""
        await repository.release_lease("sweep", "web1-1")
        await repository.save_lease_position("sweep", "web1-1", "late")
        assert await repository.acquire_lease("sweep", "web1-2", NOW, NOW + LEASE)
        await repository.save_lease_position("sweep", "web1-1", "late")
        assert await repository.lease_position("sweep") == "7f"
        await repository.save_lease_position("sweep", "web1-2", "x" * 64)
        assert await repository.lease_position("sweep") == "x" * 64

    # statuses

    async def test_statuses_of_images_that_have_a_row(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        settled = await add_settled(images)
        generating = await images.add(make_draft(author="alice", visibility=Visibility.PRIVATE))
        queued = await images.add(replace(make_draft(), status=Status.QUEUED))
        everything = [*settled, generating, queued]
        assert {image.status for image in everything} == set(Status)
        expected = {image.guid: image.status for image in everything}
        assert await repository.statuses([*expected, new_guid(), new_guid()]) == expected
        assert await repository.statuses([generating.guid] * 3) == {generating.guid: Status.GENERATING}
        assert await repository.statuses({settled[0].guid}) == {settled[0].guid: settled[0].status}
        assert await repository.statuses([]) == {}
        odd = (new_guid(), f"{generating.guid} ", generating.guid.upper(), *NO_GUIDS)
        assert await repository.statuses(odd) == {}
        await images.delete(generating.guid)
        assert await repository.statuses([generating.guid]) == {}

    async def test_statuses_of_a_thousand(self, repository: MaintenanceRepository, images: ImageRepository) -> None:
        known = [(await images.add(make_draft())).guid for _ in range(6)]
        guids = [new_guid() for _ in range(994)]
        for place, guid in zip((0, 200, 499, 500, 700, 999), known, strict=True):
            guids.insert(place, guid)
        assert len(guids) == 1000
        assert await repository.statuses(guids) == dict.fromkeys(known, Status.GENERATING)
        assert await repository.statuses(frozenset(guids)) == dict.fromkeys(known, Status.GENERATING)

    # summaries

    async def test_summaries_are_those_of_the_prefix_in_order_of_guids(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        assert await repository.summaries("0", "", 10) == ()
        expected = []
        for number in range(6):
            for prefix in ("0f", "10", "1f", "ff"):
                image = await images.add(make_draft(guid=prefix + new_guid()[2:]))
                if number % 3 == 1:
                    image = await images.mark_ready(image.guid, make_result(size_bytes=number), NOW)
                elif number % 3 == 2:
                    image = await images.mark_failed(image.guid, Status.UNKNOWN, Failure("interrupted", "cut"), NOW)
                size = None if image.result is None else image.result.size_bytes
                expected.append(RowSummary(image.guid, image.status, size))
        assert {row.status for row in expected} == {Status.READY, Status.UNKNOWN, Status.GENERATING}
        for prefix in ("0", "0f", "1", "10", "1f", "ff", "e0", expected[0].guid):
            found = sorted(row for row in expected if row.guid.startswith(prefix))
            assert await repository.summaries(prefix, "", 100) == tuple(found)
            pages, last = [], ""
            while page := await repository.summaries(prefix, last, 4):
                assert len(page) <= 4
                pages += page
                last = page[-1].guid
            assert pages == found

    # walk

    async def test_walk_finds_all_rows_lowest_id_first(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        assert await repository.walk(0, 10) == ()
        rows = []
        for i in range(3):
            rows += await add_settled(images)
            rows.append(
                await images.add(
                    make_draft(author="alice", visibility=Visibility.PRIVATE, created_at=NOW - timedelta(days=i))
                )
            )
        for gone in (rows[2], rows[5], rows[11]):
            rows.remove(gone)
            await images.delete(gone.guid)
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        assert await repository.walk(rows[0].id, 1) == (rows[1],)
        assert await repository.walk(rows[-1].id, 10) == ()
        for limit in (1, 2, 4, 9, 10):
            pages, last = [], 0
            while page := await repository.walk(last, limit):
                assert len(page) <= limit
                last = page[-1].id
                pages += page
            assert pages == rows

    async def test_walk_sees_concurrent_changes_and_additions(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        first, second = await add_ready(images), await add_ready(images)
        assert await repository.walk(0, 1) == (first,)
        await images.delete(first.guid)
        second = await images.update(second.guid, ImageChanges(tags=("new",), filename="new.png"), NOW)
        third = await images.add(make_draft())
        assert await repository.walk(first.id, 5) == (second, third)

    # count

    async def test_count_is_of_one_status(self, repository: MaintenanceRepository, images: ImageRepository) -> None:
        assert await repository.count(Status.UNKNOWN) == 0
        await images.add(make_draft())
        for status in (Status.UNKNOWN, Status.UNKNOWN, Status.FAILED):
            await images.mark_failed((await images.add(make_draft())).guid, status, Failure("x", "y"), NOW)
        counts = [await repository.count(status) for status in (Status.UNKNOWN, Status.FAILED, Status.GENERATING)]
        assert counts == [2, 1, 1]
        assert await repository.count(Status("of-a-later-version")) == 0

    # totals

    async def test_totals_are_of_ready_rows(self, repository: MaintenanceRepository, images: ImageRepository) -> None:
        assert await repository.totals() == Totals(0, 0)
        await images.add(make_draft())
        await images.mark_failed((await images.add(make_draft())).guid, Status.FAILED, Failure("x", "y"), NOW)
        assert await repository.totals() == Totals(0, 0)
        sizes = [1, 1_482_211, 2**40]
        for size in sizes:
            image = await images.add(make_draft())
            await images.mark_ready(image.guid, make_result(size_bytes=size), NOW)
        assert await repository.totals() == Totals(3, sum(sizes))
        assert {type(value) for value in await repository.totals()} == {int}
        await images.delete(image.guid)
        assert await repository.totals() == Totals(2, 1_482_212)

    # restore

    async def test_restore_adds_a_row_with_everything_but_its_id(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        before = await images.add(make_draft())
        image = restorable(id=before.id)
        rows = storage.child_rows()
        assert await repository.restore(image) is True
        restored = await images.get(image.guid)
        assert restored == replace(image, id=restored.id)
        assert restored.id > before.id
        assert (await images.add(make_draft())).id > restored.id
        assert storage.child_rows() > rows
        assert storage.lease(image.guid) == (None, None)

    @pytest.mark.parametrize("status", list(Status))
    async def test_restore_whatever_the_status(
        self, repository: MaintenanceRepository, images: ImageRepository, status: Status
    ) -> None:
        ready = restorable()
        if status is not Status.READY:
            error = None if status is Status.GENERATING else Failure("interrupted", "cut short 🦆")
            ready = replace(ready, status=status, failure=error, result=None)
        assert await repository.restore(ready) is True
        restored = await images.get(ready.guid)
        assert restored == replace(ready, id=restored.id)

    async def test_a_restored_image_is_found_by_searches(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        await repository.restore(restorable(prompt="a rubber duck", tags=("bath", "toy"), filename="Ente.png"))
        await repository.restore(
            restorable(prompt="a private duck", tags=("bath",), author="alice", visibility=Visibility.PRIVATE)
        )
        assert await found(images, terms=("duck",)) == ["a rubber duck"]
        assert await found(images, terms=("rub",), tags=("bath", "toy")) == ["a rubber duck"]
        assert await found(images, filename="ente") == ["a rubber duck"]
        assert await found(images, tags=("bath",), viewer="alice") == ["a private duck", "a rubber duck"]
        assert await found(images, terms=("goose",)) == []
        page = await images.search(ImageQuery(terms=("rubber",)))
        assert page.items[0].request.tags == ("bath", "toy")

    async def test_a_restored_image_is_found_by_its_batch_and_sources(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        batch, source, other = new_guid(), new_guid(), new_guid()
        await repository.restore(restorable(guid=batch, prompt="one", batch=batch, derived_from=(source, other)))
        await repository.restore(restorable(prompt="two", batch=batch, derived_from=(source,)))
        await repository.restore(restorable(prompt="alone", batch=None, derived_from=()))
        assert await found(images, derived_from=source) == ["two", "one"]
        assert await found(images, derived_from=other) == ["one"]
        both = await images.batch(batch)
        assert [(image.request.prompt, image.request.derived_from) for image in both] == [
            ("one", (source, other)),
            ("two", (source,)),
        ]
        alone = (await images.search(ImageQuery(limit=1))).items[0]
        assert (alone.request.prompt, alone.request.batch, alone.request.derived_from) == ("alone", None, ())

    @pytest.mark.parametrize("text", STRANGE_TEXTS, ids=lambda text: repr(text[:12]))
    async def test_text_is_restored_exactly(
        self, repository: MaintenanceRepository, images: ImageRepository, text: str
    ) -> None:
        short = text[:64]
        image = restorable(
            prompt=text,
            filename=short,
            author=short,
            tags=(short, "b"),
            model=short,
            parameters={short: [text, None]},
            revised_prompt=text,
            usage={short: text},
            reported={short: [text]},
        )
        assert await repository.restore(image) is True
        restored = await images.get(image.guid)
        assert restored == replace(image, id=restored.id)
        assert await repository.walk(0, 1) == (restored,)

    async def test_times_are_restored_in_utc_with_microseconds(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        made = datetime(2026, 11, 21, 23, 30, 0, 7, tzinfo=timezone(timedelta(hours=-5)))
        image = restorable(created_at=made, updated_at=made + TICK)
        await repository.restore(image)
        restored = await images.get(image.guid)
        assert (restored.request.created_at, restored.updated_at) == (made, made + TICK)
        assert restored.request.created_at.utcoffset() == restored.updated_at.utcoffset() == timedelta(0)

    async def test_restored_values_are_independent_of_the_callers_objects(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        image = restorable(parameters={"list": [1]}, usage={"details": {"text": 12}}, reported={"sizes": [1]})
        await repository.restore(image)
        image.request.parameters["list"].append("later")
        (image.result.usage or {})["details"]["text"] = 13
        (image.result.reported or {})["sizes"].append(2)
        restored = await images.get(image.guid)
        assert (restored.request.parameters, restored.result.usage) == ({"list": [1]}, {"details": {"text": 12}})
        assert restored.result.reported == {"sizes": [1]}

    async def test_restore_of_a_guid_that_has_a_row_changes_nothing(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        for image in [*await add_settled(images), await images.add(make_draft(tags=("one",)))]:
            rows, lease = storage.child_rows(), storage.lease(image.guid)
            assert await repository.restore(restorable(guid=image.guid, tags=("two", "three"))) is False
            assert await images.get(image.guid) == image
            assert (storage.child_rows(), storage.lease(image.guid)) == (rows, lease)
        assert await found(images, terms=("restored",)) == []

    async def test_exactly_one_concurrent_restore_of_a_guid_succeeds(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository], images: ImageRepository
    ) -> None:
        restorers = [repository, *others]
        for _ in range(5):
            guid = new_guid()
            versions = [restorable(guid=guid, prompt=f"restored {i}", tags=(f"tag {i}", "same")) for i in range(16)]
            outcomes = await asyncio.gather(*(restorers[i % 4].restore(image) for i, image in enumerate(versions)))
            assert sorted(outcomes) == [False] * 15 + [True]
            winner = versions[outcomes.index(True)]
            restored = await images.get(guid)
            assert restored == replace(winner, id=restored.id)

    async def test_concurrent_restores_of_different_images_all_succeed(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        restorers = [repository, *others]
        versions = [restorable(prompt=f"the same words again {i}", tags=("same", "tags")) for i in range(24)]
        outcomes = await asyncio.gather(*(restorers[i % 4].restore(image) for i, image in enumerate(versions)))
        assert outcomes == [True] * 24
        assert {image.guid for image in await repository.walk(0, 50)} == {image.guid for image in versions}

    async def test_a_deleted_image_is_restored_without_lease_and_claim(
        self, storage: MaintenanceStorage, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        claim = IdempotencyClaim("alice", "key-1", "f" * 64)
        image = await images.add(make_draft(lease_owner="web1-1", lease_expires_at=NOW + LEASE, claim=claim))
        await images.delete(image.guid)
        assert await repository.restore(image) is True
        assert storage.lease(image.guid) == (None, None)
        assert await images.find_claimed("alice", "key-1") is None
        assert await images.find_recent("alice", "f" * 64, NOW) is None
        assert [row.guid for row in await repository.expired(NOW, 10)] == [image.guid]

    # restore_all

    async def test_many_images_are_restored_in_their_order(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        known = await add_ready(images)
        batch = [
            restorable(prompt=f"the same words {i} " + "x" * (5000 if i % 7 == 0 else 1), tags=(f"tag {i}", "same"))
            for i in range(200)
        ]
        wanted = [*batch[:100], restorable(guid=known.guid), *batch[100:], batch[0]]
        assert await repository.restore_all(wanted) == (*[True] * 100, False, *[True] * 100, False)
        rows = await repository.walk(0, 500)
        assert rows == (known, *(replace(image, id=row.id) for image, row in zip(batch, rows[1:], strict=True)))
        newest_first = [image.request.prompt for image in batch[::-1]]
        assert await found(images, terms=("words",), viewer="alice", limit=200) == newest_first
        assert await found(images, tags=("tag 42",), viewer="alice") == [batch[42].request.prompt]
        assert await found(images, derived_from=SOURCE, viewer="alice", limit=200) == newest_first
        assert await repository.restore_all(batch) == (False,) * 200
        assert await repository.restore_all([]) == ()

    async def test_an_error_restores_none(self, storage: MaintenanceStorage, repository: MaintenanceRepository) -> None:
        if self.database is None:
            pytest.skip("memory refuses nothing")
        before = storage.child_rows()
        images = [restorable(), restorable(prompt="a lone \ud800 surrogate"), restorable()]
        with pytest.raises(DataValidationError):
            await repository.restore_all(images)
        assert await repository.walk(0, 10) == ()
        assert storage.child_rows() == before

    async def test_restored_images_that_are_out_of_order_are_found_by_time(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        times = [NOW, NOW - timedelta(days=3), NOW + timedelta(days=1), NOW - timedelta(hours=2), NOW]
        batch = [restorable(created_at=at, prompt=f"made {number}") for number, at in enumerate(times)]
        await repository.restore_all(batch[:3])
        await repository.restore_all(batch[3:])
        early = await found(images, created_before=NOW - timedelta(hours=1))
        assert early == ["made 3", "made 1"]

    async def test_restores_of_the_same_images_at_once_add_each_once(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        batch = [restorable(prompt=f"at once {i}") for i in range(30)]
        outcomes = await asyncio.gather(
            repository.restore_all(batch), others[0].restore_all(batch[::-1]), others[1].restore_all(batch[10:20])
        )
        assert sum(map(sum, outcomes)) == 30
        assert len(await repository.walk(0, 100)) == 30

    # The newest images and the identity

    async def test_the_newest_ready_images(self, repository: MaintenanceRepository, images: ImageRepository) -> None:
        assert await repository.newest(3) == ()
        ready = [await add_ready(images) for _ in range(4)]
        await add_settled(images)
        restored = restorable(created_at=NOW - timedelta(days=9))
        await repository.restore(restored)
        newest = await repository.newest(3)
        assert newest[0].guid == restored.guid
        assert newest[2] == ready[3]
        assert len(await repository.newest(100)) == 6

    async def test_the_newest_uncertain_images(
        self, repository: MaintenanceRepository, images: ImageRepository
    ) -> None:
        assert await repository.uncertain(3) == ()
        first, second = [(await add_settled(images))[-1] for _ in range(2)]
        assert await repository.uncertain(3) == (second, first)
        assert await repository.uncertain(1) == (second,)

    async def test_a_new_database_is_not_bound(self, repository: MaintenanceRepository) -> None:
        identity = await repository.identity()
        assert identity is None or identity.state is BindingState.BEGUN

    async def test_the_identity_is_replaced_for_everybody(
        self, repository: MaintenanceRepository, others: list[MaintenanceRepository]
    ) -> None:
        for state in BindingState:
            for value in (SOURCE, new_guid()):
                await repository.save_identity(StoreIdentity(value, state))
                assert await others[0].identity() == StoreIdentity(value, state)
        await others[1].save_identity(StoreIdentity(SOURCE, BindingState.BOUND))
        assert await repository.identity() == StoreIdentity(SOURCE, BindingState.BOUND)


def restorable(**values: object) -> Image:
    """Return an image as a sidecar describes it, with these fields changed."""
    image = make_image(
        id=0,
        prompt="a restored duck",
        tags=("zebra", "ant", "äöü 🦆"),
        author="alice",
        updated_at=NOW + timedelta(seconds=9, microseconds=530864),
        generator="openai",
        model="gpt-image-2",
        parameters={"size": "1024x1024", "quality": "low"},
        revised_prompt="a nice duck",
        usage={"total_tokens": 1068, "details": {"text": 12}},
        reported={"size": "1024x1024", "quality": "high"},
        derived_from=(SOURCE, "1c2d0b9f-0000-4000-8000-000000000000"),
        batch=SOURCE,
        placeholder="data:,",
    )
    return alter(image, **values)


async def add_leased(
    storage: MaintenanceStorage,
    images: ImageRepository,
    owner: str | None,
    until: datetime | None,
    created_at: datetime = NOW,
) -> Image:
    """Add a `generating` image and write its lease without the adapter."""
    image = await images.add(make_draft(created_at=created_at))
    storage.set_lease(image.guid, owner, until)
    return image


async def add_settled(images: ImageRepository) -> list[Image]:
    """Add an image of each status but `generating`."""
    settled = [await add_ready(images, tags=("one", "two"))]
    for status in (Status.FAILED, Status.UNKNOWN):
        image = await images.add(make_draft())
        settled.append(await images.mark_failed(image.guid, status, Failure("interrupted", "cut short"), NOW))
    return settled
