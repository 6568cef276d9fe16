"""Contract tests for images that wait for their turn, in every pair of image and maintenance repository."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pixyproxy.domain.errors import ConstraintViolationError, ImageNotFoundError, ImageNotQueuedError
from pixyproxy.domain.generation import ImageDraft, Lease, QueuedCall, StoredSource
from pixyproxy.domain.image import Failure, Picture, Status, new_guid
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from tests.conformance.contracts.maintenance_repository import MaintenanceStorage
from tests.fixtures.images import NOW, make_draft, make_result

LATER = NOW + timedelta(minutes=1)
LEASE = timedelta(minutes=6)
SOURCE = StoredSource(new_guid(), Picture("image/png", 64, 48), 17, "a" * 64)
CALL = QueuedCall("user 猫 ", {"user": "student-17", "n": [1, {"a": None}]}, (SOURCE,), {"mask": SOURCE})


def queued(count: int = 1, owner: str = "one") -> list[ImageDraft]:
    """Return the drafts of a call that waits in the process of this owner."""
    first = new_guid()
    lease = Lease(owner, NOW + LEASE)
    drafts = [
        replace(make_draft(guid=guid, batch=first if count > 1 else None), lease=lease, status=Status.QUEUED)
        for guid in (first, *(new_guid() for _ in range(count - 1)))
    ]
    return [replace(drafts[0], queued_call=CALL), *drafts[1:]]


class ImageQueueContract:
    """Tests for a subclass that defines the fixture `storage`."""

    @pytest.fixture
    async def images(self, storage: MaintenanceStorage) -> AsyncIterator[ImageRepository]:
        repository = storage.images()
        await repository.open()
        yield repository
        await repository.close()

    @pytest.fixture
    async def maintenance(
        self, storage: MaintenanceStorage, images: ImageRepository
    ) -> AsyncIterator[MaintenanceRepository]:
        repository = storage.repository()
        await repository.open()
        yield repository
        await repository.close()

    async def test_a_queued_call_is_kept_until_it_starts(
        self, images: ImageRepository, maintenance: MaintenanceRepository
    ) -> None:
        drafts = queued(3)
        added = await images.add_batch(drafts)
        guids = [image.guid for image in added]
        assert {image.status for image in added} == {Status.QUEUED}
        assert await maintenance.queued_call(guids[0]) == CALL
        assert [await maintenance.queued_call(guid) for guid in (guids[1], new_guid())] == [None, None]
        started = await images.start(guids[::-1], Lease("two", LATER + LEASE), LATER)
        assert [(image.guid, image.status, image.updated_at) for image in started] == [
            (guid, Status.GENERATING, LATER) for guid in guids
        ]
        assert started == await images.batch(guids[0])
        assert await maintenance.queued_call(guids[0]) is None
        assert await maintenance.expired(LATER + LEASE, 10) == ()
        assert await maintenance.expired(LATER + 2 * LEASE, 10) == started
        ready = await images.mark_ready(guids[0], make_result(), LATER)
        assert ready.status is Status.READY

    async def test_only_what_is_queued_starts(self, images: ImageRepository) -> None:
        drafts = queued(3)
        guids = [image.guid for image in await images.add_batch(drafts)]
        lease = Lease("two", LATER + LEASE)
        assert [image.guid for image in await images.start([guids[1]], lease, LATER)] == [guids[1]]
        await images.mark_failed(guids[2], Status.FAILED, Failure("code", "message"), LATER)
        assert [image.guid for image in await images.start(guids, lease, LATER)] == [guids[0]]
        assert await images.start(guids, lease, LATER) == ()
        assert await images.start([new_guid()], lease, LATER) == ()

    async def test_of_several_processes_that_start_a_call_one_gets_all_of_it(
        self, storage: MaintenanceStorage, images: ImageRepository
    ) -> None:
        guids = [image.guid for image in await images.add_batch(queued(3))]
        others = [storage.images() for _ in range(3)]
        for other in others:
            await other.open()
        outcomes = await asyncio.gather(
            *(other.start(guids, Lease(f"process {n}", LATER + LEASE), LATER) for n, other in enumerate(others * 2))
        )
        assert sorted(map(len, outcomes)) == [0, 0, 0, 0, 0, 3]
        for other in others:
            await other.close()

    async def test_a_call_is_started_or_deleted(self, images: ImageRepository) -> None:
        for _ in range(5):
            guids = [image.guid for image in await images.add_batch(queued(2))]
            started, deleted = await asyncio.gather(
                images.start(guids, Lease("two", LATER + LEASE), LATER), images.delete(guids[1])
            )
            assert (len(started), len(deleted)) in {(2, 1), (0, 2)}

    async def test_a_refused_call_is_queued_again_by_its_owner_alone(
        self, images: ImageRepository, maintenance: MaintenanceRepository
    ) -> None:
        guids = [image.guid for image in await images.add_batch(queued(2))]
        await images.start(guids, Lease("two", LATER + LEASE), LATER)
        assert await images.requeue(guids, "one", CALL, LATER) == ()
        assert await images.requeue(guids, "two ", CALL, LATER) == ()
        again = await images.requeue(guids[::-1], "two", CALL, LATER)
        assert [(image.guid, image.status) for image in again] == [(guid, Status.QUEUED) for guid in guids]
        assert await maintenance.queued_call(guids[0]) == CALL
        assert await images.requeue(guids, "two", CALL, LATER) == ()
        assert await maintenance.expired_in_queue(LATER + LEASE, 10) == ()
        assert await maintenance.expired_in_queue(LATER + 2 * LEASE, 10) == again

    async def test_deleting_a_queued_image_deletes_those_of_its_call_that_wait(self, images: ImageRepository) -> None:
        guids = [image.guid for image in await images.add_batch(queued(4))]
        other = (await images.add_batch(queued()))[0].guid
        await images.start([guids[3]], Lease("two", LATER + LEASE), LATER)
        assert sorted(await images.delete(guids[1])) == sorted(guids[:3])
        assert [image.guid for image in await images.batch(guids[0])] == [guids[3]]
        assert await images.delete(guids[3]) == (guids[3],)
        assert await images.delete(other) == (other,)
        with pytest.raises(ImageNotFoundError):
            await images.delete(other)

    async def test_a_queued_call_is_cancelled_as_a_whole(
        self, images: ImageRepository, maintenance: MaintenanceRepository
    ) -> None:
        guids = [image.guid for image in await images.add_batch(queued(3))]
        other = (await images.add_batch(queued()))[0]
        assert sorted(await images.cancel(guids[1])) == sorted(guids)
        assert await images.batch(guids[0]) == ()
        assert await images.start(guids, Lease("two", LATER + LEASE), LATER) == ()
        assert await images.get(other.guid) == other
        assert await images.cancel(other.guid) == (other.guid,)
        for guid in (*guids, other.guid):
            with pytest.raises(ImageNotFoundError):
                await images.cancel(guid)

    @pytest.mark.parametrize("status", [Status.GENERATING, Status.READY, Status.FAILED, Status.UNKNOWN])
    async def test_only_what_is_queued_is_cancelled(self, images: ImageRepository, status: Status) -> None:
        guids = [image.guid for image in await images.add_batch(queued(2))]
        await images.start([guids[0]], Lease("two", LATER + LEASE), LATER)
        if status is Status.READY:
            await images.mark_ready(guids[0], make_result(), LATER)
        elif status is not Status.GENERATING:
            await images.mark_failed(guids[0], status, Failure("code", "message"), LATER)
        before = await images.batch(guids[0])
        with pytest.raises(ImageNotQueuedError, match=f"is {status}, not queued") as caught:
            await images.cancel(guids[0])
        assert (caught.value.code, caught.value.guid) == ("image-not-queued", guids[0])
        assert await images.batch(guids[0]) == before
        assert (before[0].status, before[1].status) == (status, Status.QUEUED)
        assert await images.cancel(guids[1]) == (guids[1],)
        assert await images.batch(guids[0]) == before[:1]

    @pytest.mark.parametrize("first", ["start", "cancel", "neither"])
    async def test_a_call_is_started_or_cancelled(
        self, storage: MaintenanceStorage, images: ImageRepository, first: str
    ) -> None:
        other = storage.images()  # of another process
        await other.open()
        for number in range(8):
            guids = [image.guid for image in await images.add_batch(queued(2))]

            async def start(guids: list[str] = guids) -> list[str]:
                started = await images.start(guids, Lease("two", LATER + LEASE), LATER)
                return [image.guid for image in started]

            async def cancel(guids: list[str] = guids, one: int = number % 2) -> list[str]:
                try:
                    return sorted(await other.cancel(guids[one]))
                except ImageNotQueuedError:
                    return []

            if first == "neither":
                started, cancelled = await asyncio.gather(start(), cancel())
            elif first == "start":
                started, cancelled = await start(), await cancel()
            else:
                cancelled, started = await cancel(), await start()
            winner = {"start": [True], "cancel": [False]}.get(first, [True, False])
            assert (started == guids) in winner
            assert (started, cancelled) in [(guids, []), ([], sorted(guids))]
            assert [image.guid for image in await images.batch(guids[0])] == started
        await other.close()

    async def test_leases_of_queued_rows(self, images: ImageRepository, maintenance: MaintenanceRepository) -> None:
        first, second = [(await images.add_batch(queued(owner=owner)))[0] for owner in ("one", "two")]
        assert await maintenance.lease_owners() == {"one", "two"}
        assert await maintenance.renew_leases("one", NOW + 2 * LEASE) == 1
        now = NOW + LEASE + timedelta(seconds=1)
        assert await maintenance.expired(now, 10) == ()
        assert await maintenance.expired_in_queue(now, 10) == (second,)
        assert not await maintenance.take_over(first.guid, "three", now, now + LEASE)
        taken = await asyncio.gather(
            *(maintenance.take_over(second.guid, f"process {n}", now, now + LEASE) for n in range(4))
        )
        assert sorted(taken) == [False, False, False, True]
        assert await maintenance.expired_in_queue(now, 10) == ()
        await maintenance.end_leases("one", NOW)
        assert await maintenance.expired_in_queue(now, 10) == (first,)

    async def test_an_owner_leaves_its_queued_rows_and_nothing_else(
        self, images: ImageRepository, maintenance: MaintenanceRepository
    ) -> None:
        first, other = [(await images.add_batch(queued(owner=owner)))[0] for owner in ("one", "two")]
        running = (await images.add_batch(queued(owner="one")))[0]
        await images.start([running.guid], Lease("one", NOW + LEASE), LATER)
        await maintenance.leave_queue("one")
        assert await maintenance.expired_in_queue(NOW, 10) == (first,)
        assert await maintenance.expired(NOW, 10) == ()
        assert await maintenance.renew_leases("one", NOW + 2 * LEASE) == 1
        assert await maintenance.take_over(first.guid, "two", NOW, NOW + LEASE)
        assert not await maintenance.take_over(other.guid, "one", NOW, NOW + LEASE)

    async def test_the_oldest_rows_come_first_and_are_counted(
        self, images: ImageRepository, maintenance: MaintenanceRepository
    ) -> None:
        rows = [image for _ in range(3) for image in await images.add_batch(queued(2))]
        assert await maintenance.expired_in_queue(NOW + 2 * LEASE, 4) == tuple(rows[:4])
        assert [await maintenance.queued_before(row.id) for row in rows] == list(range(6))
        await images.start([row.guid for row in rows[:2]], Lease("two", LATER), LATER)
        assert await maintenance.queued_before(rows[-1].id) == 3

    async def test_a_guid_is_queued_once(self, images: ImageRepository) -> None:
        drafts = queued()
        await images.add_batch(drafts)
        with pytest.raises(ConstraintViolationError):
            await images.add_batch(drafts)
