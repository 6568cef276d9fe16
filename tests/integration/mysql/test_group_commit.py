"""MySQL: concurrent inserts or updates share a transaction, and each caller gets its own error."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing

import pymysql
import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.session import MySQLSession
from pixyproxy.adapters.sql.batcher import MAX_WRITES
from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.session import Parameters
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    IdempotencyKeyTakenError,
    ImageNotFoundError,
)
from pixyproxy.domain.generation import IdempotencyClaim, ImageDraft
from pixyproxy.domain.image import Image, ImageChanges, Status, new_guid
from pixyproxy.domain.query import ImageQuery
from tests.conformance.contracts.image_repository import LATER, NOW, make_batch, make_draft, make_result
from tests.fixtures.sql.mysql_servers import MySQLSettings

LOST = pymysql.OperationalError(2013, "Lost connection to MySQL server during query")


@pytest.fixture
async def images(database: MySQLDatabase) -> SQLImageRepository:
    return SQLImageRepository(database)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the times of the commits."""
    times: list[float] = []
    commit = MySQLSession.commit

    def watched(session: MySQLSession) -> None:
        commit(session)
        times.append(time.monotonic())

    monkeypatch.setattr(MySQLSession, "commit", watched)
    return times


async def begin(images: SQLImageRepository, *drafts: ImageDraft) -> "list[Image | BaseException]":
    """Add each by its own call, all at once."""
    outcomes = await asyncio.gather(*(images.add(draft) for draft in drafts), return_exceptions=True)
    return list(outcomes)


async def finish(images: SQLImageRepository, *begun: Image) -> "list[Image | BaseException]":
    calls = (images.mark_ready(image.guid, make_result(), LATER) for image in begun)
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def begun(images: SQLImageRepository, number: int) -> list[Image]:
    return [await images.add(make_draft()) for _ in range(number)]


def rows(settings: MySQLSettings) -> int:
    with closing(settings.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM images")
        ((count,),) = cursor.fetchall()
        return int(count)


async def test_concurrent_writes_share_transactions(images: SQLImageRepository, commits: list[float]) -> None:
    drafts = [
        make_draft(prompt=f"duck nr{number} of many", tags=(f"tag {number}", "all"), derived_from=(new_guid(),))
        for number in range(40)
    ]
    added = await begin(images, *drafts)
    assert 40 / MAX_WRITES <= len(commits) <= 10
    for draft, image in zip(drafts, added, strict=True):
        assert isinstance(image, Image)
        assert image == await images.get(draft.guid)
        assert (image.request.prompt, image.request.tags, image.request.derived_from) == (
            draft.request.prompt,
            draft.request.tags,
            draft.request.derived_from,
        )
    commits.clear()
    ready = await finish(images, *(image for image in added if isinstance(image, Image)))
    assert len(commits) <= 10
    assert [image.status for image in ready if isinstance(image, Image)] == [Status.READY] * 40
    assert ready == [await images.get(draft.guid) for draft in drafts]
    for number in (10, 17, 39):
        for query in (ImageQuery(terms=(f"nr{number}",)), ImageQuery(tags=(f"tag {number}",))):
            assert [image.guid for image in (await images.search(query)).items] == [drafts[number].guid]


async def test_batches_and_single_ones_together(images: SQLImageRepository) -> None:
    batches = [make_batch(size, author="alice") for size in (1, 3, 1, 2, 10)]
    added = await asyncio.gather(*map(images.add_batch, batches))
    assert [len(batch) for batch in added] == [1, 3, 1, 2, 10]
    for drafts, batch in zip(batches, added, strict=True):
        assert [image.guid for image in batch] == [draft.guid for draft in drafts]
        assert [image.id for image in batch] == sorted(image.id for image in batch)
        assert batch == tuple([await images.get(image.guid) for image in batch])


async def test_keys_that_are_claimed_together(images: SQLImageRepository) -> None:
    claims = [IdempotencyClaim("alice", f"key {number}" if number % 2 else None, "a" * 64) for number in range(20)]
    added = await begin(images, *(make_draft(claim=claim) for claim in claims))
    for claim, image in zip(claims, added, strict=True):
        if claim.key is not None:
            assert await images.find_claimed("alice", claim.key) == (image, claim.fingerprint)
    assert await images.find_recent("alice", "a" * 64, NOW) == max(
        (image for image in added if isinstance(image, Image)), key=lambda image: image.id
    )


async def test_an_error_of_one_write_affects_no_other(images: SQLImageRepository, empty_mysql: MySQLSettings) -> None:
    claim = IdempotencyClaim("alice", "taken", "a" * 64)
    earlier = await images.add(make_draft(claim=claim))
    wrong = {
        3: make_draft(claim=claim),
        5: make_draft(guid=earlier.guid),
        8: make_draft(prompt="a lone \udcff surrogate"),
    }
    drafts = [wrong.get(number) or make_draft(prompt=f"duck {number}") for number in range(12)]
    outcomes = await begin(images, *drafts)
    assert isinstance(outcomes[3], IdempotencyKeyTakenError)
    assert isinstance(outcomes[5], ConstraintViolationError)
    assert isinstance(outcomes[8], DataValidationError)
    for number in set(range(12)) - set(wrong):
        assert outcomes[number] == await images.get(drafts[number].guid)
    assert rows(empty_mysql) == 10


async def test_one_of_several_writes_claims_the_same_key(images: SQLImageRepository) -> None:
    claim = IdempotencyClaim("alice", "key", "a" * 64)
    outcomes = await begin(images, *(make_draft(claim=claim if n % 2 else None) for n in range(12)))
    assert sum(isinstance(outcome, IdempotencyKeyTakenError) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, Image) for outcome in outcomes) == 7


async def test_a_cancelled_caller_affects_no_other(images: SQLImageRepository) -> None:
    drafts = [make_draft() for _ in range(8)]
    tasks = [asyncio.create_task(images.add(draft)) for draft in drafts]
    await asyncio.sleep(0)
    for task in tasks[2:5]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for number in (0, 1, 5, 6, 7):
        assert outcomes[number] == await images.get(drafts[number].guid)
    for number in (3, 4):
        with pytest.raises(ImageNotFoundError):
            await images.get(drafts[number].guid)


async def test_images_that_are_not_as_they_were_begun(images: SQLImageRepository) -> None:
    all_begun = await begun(images, 9)
    await images.delete(all_begun[2].guid)
    await images.update(all_begun[4].guid, ImageChanges(tags=("new",)), NOW.replace(year=2027))
    ready = await finish(images, *all_begun)
    assert isinstance(ready[2], ImageNotFoundError)
    changed = ready[4]
    assert isinstance(changed, Image)
    assert (changed.status, changed.request.tags) == (Status.READY, ("new",))
    for number in {*range(9)} - {2}:
        assert ready[number] == await images.get(all_begun[number].guid)
    assert await finish(images, *(image for image in all_begun if image.guid != all_begun[2].guid)) == [
        image for image in ready if isinstance(image, Image)
    ]


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_commit_whose_answer_is_lost(
    images: SQLImageRepository, empty_mysql: MySQLSettings, monkeypatch: pytest.MonkeyPatch, took_effect: bool
) -> None:
    commit = MySQLSession.commit

    def lose(session: MySQLSession) -> None:
        if took_effect:
            commit(session)
        session.committing = True
        raise LOST

    monkeypatch.setattr(MySQLSession, "commit", lose)
    drafts = [make_draft() for _ in range(6)]
    outcomes = await begin(images, *drafts)
    monkeypatch.setattr(MySQLSession, "commit", commit)
    if took_effect:
        assert outcomes == [await images.get(draft.guid) for draft in drafts]
    else:
        assert all(isinstance(outcome, DBConnectionError) for outcome in outcomes)
        assert rows(empty_mysql) == 0


@pytest.mark.parametrize("took_effect", [True, False])
async def test_images_are_finished_where_the_answer_to_the_commit_is_lost(
    images: SQLImageRepository, monkeypatch: pytest.MonkeyPatch, took_effect: bool
) -> None:
    all_begun = await begun(images, 6)
    commit = MySQLSession.commit
    lost: list[None] = []

    def lose(session: MySQLSession) -> None:
        if took_effect or lost:
            commit(session)
        if not lost:
            lost.append(None)
            session.committing = True
            raise LOST

    monkeypatch.setattr(MySQLSession, "commit", lose)
    ready = await finish(images, *all_begun)
    assert lost
    assert ready == [await images.get(image.guid) for image in all_begun]
    assert all(isinstance(image, Image) and image.status is Status.READY for image in ready)


async def test_a_lost_connection_is_opened_again(images: SQLImageRepository, empty_mysql: MySQLSettings) -> None:
    await begin(images, *(make_draft() for _ in range(12)))  # several connections are open now
    with closing(empty_mysql.connect()) as other, other.cursor() as cursor:
        cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()")
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number}")
    outcomes = await begin(images, *(make_draft() for _ in range(12)))
    assert all(isinstance(outcome, Image) for outcome in outcomes)


async def test_who_waits_for_a_lock_keeps_no_other(images: SQLImageRepository, empty_mysql: MySQLSettings) -> None:
    all_begun = await begun(images, 8)
    with closing(empty_mysql.connect()) as other:
        other.begin()
        other.cursor().execute("SELECT 1 FROM images WHERE guid = %s FOR UPDATE", (all_begun[3].guid,))
        ready = await finish(images, *all_begun)
        assert isinstance(ready[3], DBConnectionError)
        for number in {*range(8)} - {3}:
            assert ready[number] == await images.get(all_begun[number].guid)
        other.rollback()
    (late,) = await finish(images, all_begun[3])
    assert late == await images.get(all_begun[3].guid)


async def test_long_prompts_are_sent_in_several_packets(images: SQLImageRepository) -> None:
    drafts = [make_draft(prompt=f"{number} " + "word " * 6_000 + "x" * 2_000) for number in range(24)]
    added = await begin(images, *drafts)
    assert [image.request.prompt for image in added if isinstance(image, Image)] == [
        draft.request.prompt for draft in drafts
    ]
    assert [image.guid for image in added if isinstance(image, Image)] == [draft.guid for draft in drafts]
    assert added == [await images.get(draft.guid) for draft in drafts]


async def test_writes_too_large_together_are_sent_one_by_one(
    images: SQLImageRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_each = MySQLSession.insert_each

    def limited(session: MySQLSession, sql: str, rows: Sequence[Parameters]) -> list[int]:
        if len(rows) > 1:
            raise pymysql.OperationalError(1153, "Got a packet bigger than 'max_allowed_packet' bytes")
        return insert_each(session, sql, rows)

    monkeypatch.setattr(MySQLSession, "insert_each", limited)
    drafts = [make_draft() for _ in range(6)]
    assert await begin(images, *drafts) == [await images.get(draft.guid) for draft in drafts]


async def test_an_outage_is_everybodys(images: SQLImageRepository, database: MySQLDatabase) -> None:
    await database.close("test")
    outcomes = await begin(images, *(make_draft() for _ in range(5)))
    assert [type(outcome) for outcome in outcomes] == [DBConnectionError] * 5
    assert len({id(outcome) for outcome in outcomes}) == 5
    await database.open("test")
    assert all(isinstance(outcome, Image) for outcome in await begin(images, *(make_draft() for _ in range(5))))
