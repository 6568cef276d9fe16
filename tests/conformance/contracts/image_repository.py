"""Contract tests for every image repository."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest

from pixyproxy.domain.access import Staff, can_see
from pixyproxy.domain.errors import ConstraintViolationError, IdempotencyKeyTakenError, ImageNotFoundError
from pixyproxy.domain.filename import filename_for
from pixyproxy.domain.generation import IdempotencyClaim, ImageDraft, Lease, Predecessor
from pixyproxy.domain.image import Failure, Image, ImageChanges, Status, Visibility, new_guid
from pixyproxy.domain.query import ImageQuery
from pixyproxy.domain.search_terms import fold, query_terms
from pixyproxy.ports.image_repository import ImageRepository
from tests.fixtures.images import NOW, alter, make_draft, make_result

LATER = NOW + timedelta(seconds=9, microseconds=530864)
STRANGE_TEXTS = [
    "a duck",
    "trailing spaces   ",
    "  leading\ttab",
    "two\nlines\r\nand more\n",
    "🦆 a 4-byte duck 𝕯𝖚𝖈𝖐",
    "猫が好き 我喜歡貓 고양이 قطة חתול",
    "e\u0301 is not \u00e9",
    "100% _under_ back\\slash 'single' \"double\" `tick` :name %(name)s %s ?",
    "'; DROP TABLE images; -- \\'",
    "\u200bzero\u200dwidth\ufeff",
    "\x01\x1f\x7f control",
    "x" * 32_000,
    "🦆" * 32_000,
]


class ImageStorage(ABC):
    """Storage under test: makes repositories on it, and reads it without the adapter."""

    @abstractmethod
    def repository(self) -> ImageRepository:
        """Return a new, unopened repository on this storage."""

    @abstractmethod
    def stored(self, guid: str) -> dict[str, Any] | None:
        """Return the stored guid, filename, prompt, author, status and visibility; None if there is no row."""

    @abstractmethod
    def child_rows(self) -> int:
        """Return the number of rows for tags, search terms and sources."""

    @abstractmethod
    def delete_by_hand(self) -> None:
        """Delete all images without the adapter."""

    @abstractmethod
    def open_handles(self) -> int:
        """Return the number of connections, threads and files that the repositories hold open."""


def make_batch(count: int, **values: Any) -> list[ImageDraft]:
    """Return drafts of one batch with these fields; only the first draft gets the claim."""
    claim = values.pop("claim", None)
    first = new_guid()
    rest = [make_draft(batch=first, **values) for _ in range(count - 1)]
    return [make_draft(guid=first, batch=first, claim=claim, **values), *rest]


async def add_ready(repository: ImageRepository, **values: Any) -> Image:
    """Add an image and mark it ready under its own file name."""
    draft = make_draft(**values)
    await repository.add(draft)
    return await repository.mark_ready(draft.guid, make_result(), draft.request.created_at)


async def found(repository: ImageRepository, **values: Any) -> list[str]:
    """Return the prompts of all images that a query finds."""
    return [image.request.prompt for image in (await repository.search(ImageQuery(**values))).items]


class ImageRepositoryContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `storage`."""

    adapter: type[ImageRepository]
    database: type | None = None

    @pytest.fixture
    async def repository(self, storage: ImageStorage) -> AsyncIterator[ImageRepository]:
        repository = storage.repository()
        assert type(repository) is self.adapter
        assert self.database is None or type(repository._database) is self.database
        await repository.open()
        yield repository
        await repository.close()
        assert storage.open_handles() == 0

    # Opening and closing

    async def test_closing_frees_everything_and_may_be_repeated(self, storage: ImageStorage) -> None:
        repository = storage.repository()
        await repository.close()
        await repository.open()
        image = await repository.add(make_draft())
        await asyncio.gather(*(repository.get(image.guid) for _ in range(20)))
        await repository.search(ImageQuery())
        await repository.close()
        await repository.close()
        assert storage.open_handles() == 0

    async def test_opening_again_after_closing_works(self, storage: ImageStorage) -> None:
        repository = storage.repository()
        await repository.open()
        image = await repository.add(make_draft())
        await repository.close()
        await repository.open()
        assert await repository.get(image.guid) == image
        await repository.close()

    async def test_another_repository_sees_everything(self, storage: ImageStorage, repository: ImageRepository) -> None:
        image = await add_ready(repository, tags=("b", "a"), author="alice", parameters={"size": "1024x1024"})
        other = storage.repository()
        await other.open()
        assert await other.get(image.guid) == image
        assert (await other.search(ImageQuery())).items == (image,)
        await other.close()
        assert await repository.get(image.guid) == image

    async def test_ping(self, repository: ImageRepository) -> None:
        await repository.ping()

    # add

    async def test_add_returns_the_stored_image(self, storage: ImageStorage, repository: ImageRepository) -> None:
        draft = make_draft(
            tags=("zebra", "ant", "äöü 🦆"),
            author="alice",
            visibility=Visibility.PRIVATE,
            model="gpt-image-2",
            parameters={"size": "1024x1024", "quality": "low"},
        )
        image = await repository.add(draft)
        assert image == Image(image.id, draft.request, Status.GENERATING, updated_at=NOW)
        assert await repository.get(draft.guid) == image
        assert storage.stored(draft.guid) == {
            "guid": draft.guid,
            "filename": "duck.png",
            "prompt": "a duck",
            "author": "alice",
            "status": "generating",
            "visibility": "private",
        }

    async def test_ids_grow_in_the_order_of_adding(self, repository: ImageRepository) -> None:
        ids = [(await repository.add(make_draft())).id for _ in range(3)]
        for image in (await repository.search(ImageQuery())).items:
            await repository.delete(image.guid)
        ids += [(await repository.add(make_draft())).id for _ in range(3)]
        assert ids == sorted(set(ids))

    async def test_ids_grow_after_the_newest_were_deleted(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        image = await repository.add(make_draft())
        await repository.delete(image.guid)
        await repository.close()
        await repository.open()
        newer = await repository.add(make_draft())
        storage.delete_by_hand()
        assert image.id < newer.id < (await repository.add(make_draft())).id

    async def test_add_of_a_known_guid_changes_nothing(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        image = await repository.add(make_draft(tags=("one",)))
        rows = storage.child_rows()
        with pytest.raises(ConstraintViolationError):
            await repository.add(make_draft(guid=image.guid, prompt="quite another prompt", tags=("two", "three")))
        assert await repository.get(image.guid) == image
        assert storage.child_rows() == rows

    async def test_exactly_one_concurrent_add_of_a_guid_succeeds(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        other = storage.repository()
        await other.open()
        drafts = [make_draft(guid="0b9f1c2d-0000-4000-8000-000000000000", prompt=f"duck {i}") for i in range(12)]
        outcomes = await asyncio.gather(
            *((repository, other)[i % 2].add(draft) for i, draft in enumerate(drafts)), return_exceptions=True
        )
        await other.close()
        winners = [outcome for outcome in outcomes if isinstance(outcome, Image)]
        assert len(winners) == 1
        assert all(isinstance(o, ConstraintViolationError) for o in outcomes if not isinstance(o, Image)), outcomes
        assert await repository.get(drafts[0].guid) == winners[0]

    async def test_concurrent_adds_of_different_images_all_succeed(self, repository: ImageRepository) -> None:
        prompts = [f"the same words again and again {i}" for i in range(20)]
        await asyncio.gather(*(add_ready(repository, prompt=prompt, tags=("same", "tags")) for prompt in prompts))
        assert sorted(await found(repository, terms=("again",), tags=("tags",))) == sorted(prompts)

    @pytest.mark.parametrize("text", STRANGE_TEXTS, ids=lambda text: repr(text[:12]))
    async def test_text_is_returned_exactly(
        self, storage: ImageStorage, repository: ImageRepository, text: str
    ) -> None:
        short = text[:64]
        draft = make_draft(
            prompt=text, filename=short, author=short, tags=(short, "b"), model=short, parameters={short: [text, None]}
        )
        image = await repository.add(draft)
        assert await repository.get(draft.guid) == image
        values = (
            image.request.prompt,
            image.request.filename,
            image.request.author,
            image.request.tags,
            image.request.model,
            image.request.parameters,
        )
        assert values == (text, short, short, (short, "b"), short, {short: [text, None]})
        assert (storage.stored(draft.guid) or {})["prompt"] == text
        result = make_result(model=short, revised_prompt=text, usage={short: text}, reported={short: [text]})
        ready = await repository.mark_ready(draft.guid, result, NOW)
        assert (ready.request.filename, ready.request.model, ready.result.revised_prompt, ready.result.usage) == (
            short,
            short,
            text,
            {short: text},
        )
        assert ready.result.reported == {short: [text]}
        assert await repository.get(draft.guid) == ready

    async def test_a_draft_becomes_the_recorded_image(self, repository: ImageRepository) -> None:
        for text in STRANGE_TEXTS:
            begun = await repository.add(make_draft(prompt=text, parameters={"user": text}, tags=("x", "y")))
            result = make_result(revised_prompt=text, usage={"n": 1.5, "x": text}, reported={"x": [text]})
            ready = await repository.mark_ready(begun.guid, result, LATER)
            assert ready.status is Status.READY
            assert await repository.get(begun.guid) == ready
            assert await repository.mark_ready(begun.guid, result, NOW) == ready
            assert await repository.get(begun.guid) == ready

    async def test_changes_made_during_the_generation_are_kept(self, repository: ImageRepository) -> None:
        begun = await repository.add(make_draft(tags=("x",)))
        await repository.update(begun.guid, ImageChanges(tags=("y",)), LATER)
        ready = await repository.mark_ready(begun.guid, make_result(), LATER)
        assert (ready.status, ready.request.tags) == (Status.READY, ("y",))
        assert await repository.get(begun.guid) == ready
        failed = await repository.add(make_draft())
        await repository.mark_failed(failed.guid, Status.UNKNOWN, Failure("x", "y"), LATER)
        ready = await repository.mark_ready(failed.guid, make_result(), LATER)
        assert (ready.status, ready.failure) == (Status.READY, None)
        assert await repository.get(failed.guid) == ready
        deleted = await repository.add(make_draft())
        await repository.delete(deleted.guid)
        with pytest.raises(ImageNotFoundError):
            await repository.mark_ready(deleted.guid, make_result(), LATER)

    async def test_failure_text_is_returned_exactly(self, repository: ImageRepository) -> None:
        for text in STRANGE_TEXTS:
            image = await repository.add(make_draft())
            failed = await repository.mark_failed(image.guid, Status.FAILED, Failure(text[:64], text), NOW)
            assert failed.failure == Failure(text[:64], text)
            assert await repository.get(image.guid) == failed

    async def test_a_prompt_of_thousands_of_different_words_is_found_by_each(self, repository: ImageRepository) -> None:
        prompt = " ".join(f"w{i:04x}" for i in range(5300))
        assert 31_000 < len(prompt) <= 32_000
        await add_ready(repository, prompt=prompt)
        assert await found(repository, terms=("w0000", "w14b3", "w0abc")) == [prompt]
        assert await found(repository, terms=("w14b4",)) == []

    async def test_a_prompt_of_thousands_of_characters_without_spaces(self, repository: ImageRepository) -> None:
        prompt = "".join(chr(0x4E00 + i * 37 % 20_000) for i in range(32_000))
        await add_ready(repository, prompt=prompt)
        assert await found(repository, terms=query_terms(prompt[31_000:31_060])) == [prompt]

    async def test_stored_json_is_independent_of_the_callers_objects(self, repository: ImageRepository) -> None:
        parameters: dict[str, Any] = {"nested": {"list": [1, 2.5, True, None, "ä"]}, "big": 2**60}
        usage: dict[str, Any] = {"total_tokens": 1068, "details": {"text": 12}}
        reported: dict[str, Any] = {"sizes": ["1024x1024"]}
        image = await repository.add(make_draft(parameters=parameters))
        await repository.mark_ready(image.guid, make_result(usage=usage, reported=reported), NOW)
        parameters["nested"]["list"].append("later")
        usage["details"]["text"] = 13
        reported["sizes"].append("later")
        stored = await repository.get(image.guid)
        assert stored.request.parameters == {"nested": {"list": [1, 2.5, True, None, "ä"]}, "big": 2**60}
        assert stored.result.usage == {"total_tokens": 1068, "details": {"text": 12}}
        assert stored.result.reported == {"sizes": ["1024x1024"]}

    @pytest.mark.parametrize(
        "time",
        [
            datetime(2026, 11, 21, 10, 0, tzinfo=UTC),
            datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC),
            datetime(2026, 11, 21, 23, 30, 0, 7, tzinfo=timezone(timedelta(hours=-5))),
        ],
    )
    async def test_times_keep_their_microseconds_and_are_returned_in_utc(
        self, repository: ImageRepository, time: datetime
    ) -> None:
        image = await repository.add(make_draft(created_at=time))
        ready = await repository.mark_ready(image.guid, make_result(), time)
        for value in (image.request.created_at, ready.request.created_at, ready.updated_at):
            assert value == time
            assert value.utcoffset() == timedelta(0)

    async def test_sources_keep_their_order(self, repository: ImageRepository) -> None:
        one, other = new_guid(), new_guid()
        for guids in ((one,), (other, one), (one, other, one), tuple(new_guid() for _ in range(16))):
            image = await repository.add(make_draft(derived_from=guids))
            assert (image.request.derived_from, image.request.batch, image.result) == (guids, None, None)
            assert await repository.get(image.guid) == image
            ready = await repository.mark_ready(image.guid, make_result(), NOW)
            changed = await repository.update(image.guid, ImageChanges(tags=("x",)), LATER)
            assert ready.request.derived_from == changed.request.derived_from == guids
            assert await repository.get(image.guid) == changed

    async def test_an_error_of_one_concurrent_add_affects_no_other(self, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", "taken", "a" * 64)
        earlier = await repository.add(make_draft(claim=claim))
        drafts = [make_draft(prompt=f"duck {number}", tags=("x", "y")) for number in range(12)]
        drafts[4], drafts[7] = replace(drafts[4], claim=claim), alter(drafts[7], guid=earlier.guid)
        outcomes = await asyncio.gather(*map(repository.add, drafts), return_exceptions=True)
        assert isinstance(outcomes[4], IdempotencyKeyTakenError)
        assert isinstance(outcomes[7], ConstraintViolationError)
        for number in {*range(12)} - {4, 7}:
            assert outcomes[number] == await repository.get(drafts[number].guid)
        with pytest.raises(ImageNotFoundError):
            await repository.get(drafts[4].guid)
        assert await repository.get(earlier.guid) == earlier

    async def test_an_error_of_one_concurrent_result_affects_no_other(self, repository: ImageRepository) -> None:
        begun = [await repository.add(make_draft()) for _ in range(9)]
        await repository.delete(begun[3].guid)
        results = [make_result(revised_prompt=f"duck {number}") for number in range(9)]
        outcomes = await asyncio.gather(
            *(repository.mark_ready(image.guid, result, LATER) for image, result in zip(begun, results, strict=True)),
            return_exceptions=True,
        )
        assert isinstance(outcomes[3], ImageNotFoundError)
        for number in {*range(9)} - {3}:
            image = await repository.get(begun[number].guid)
            assert outcomes[number] == image
            assert (image.status, image.result.revised_prompt) == (Status.READY, f"duck {number}")

    # add_batch and batch

    async def test_a_batch_is_recorded_in_its_order(self, storage: ImageStorage, repository: ImageRepository) -> None:
        first = new_guid()
        drafts = [
            make_draft(
                guid=first if i == 0 else new_guid(),
                prompt=f"duck {i}",
                tags=("bath", f"tag {i}"),
                batch=first,
                derived_from=(new_guid(),),
            )
            for i in range(4)
        ]
        images = await repository.add_batch(drafts)
        assert [image.guid for image in images] == [draft.guid for draft in drafts]
        ids = [image.id for image in images]
        assert ids == sorted(set(ids))
        for draft, image in zip(drafts, images, strict=True):
            assert image == draft.recorded(image.id)
            assert (image.status, image.request.batch) == (Status.GENERATING, first)
            assert await repository.get(image.guid) == image
            assert (storage.stored(image.guid) or {})["status"] == "generating"
        assert await repository.batch(first) == images
        assert (await repository.add(make_draft())).id > ids[-1]

    async def test_the_images_of_a_batch_are_found_by_its_guid_alone(self, repository: ImageRepository) -> None:
        one, other = [await repository.add_batch(make_batch(3, author="alice")) for _ in range(2)]
        single = await repository.add(make_draft())
        await repository.mark_failed(one[0].guid, Status.FAILED, Failure("x", "y"), NOW)
        await repository.mark_ready(one[2].guid, make_result(), NOW)
        images = await repository.batch(one[0].guid)
        assert images == tuple([await repository.get(image.guid) for image in one])
        assert await repository.batch(other[0].guid) == other
        nothing = (
            new_guid(),
            one[1].guid,
            single.guid,
            f"{one[0].guid} ",
            one[0].guid.upper(),
            "",
            "猫",
            "' OR '1'='1",
        )
        for guid in nothing:
            assert await repository.batch(guid) == (), guid

    async def test_deleted_images_are_missing_in_their_batch(self, repository: ImageRepository) -> None:
        first, second, third = await repository.add_batch(make_batch(3))
        await repository.delete(first.guid)
        assert await repository.batch(first.guid) == (second, third)
        await repository.delete(third.guid)
        await repository.delete(second.guid)
        assert await repository.batch(first.guid) == ()

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("key", [None, "key"])
    async def test_a_batch_with_a_known_guid_changes_nothing(
        self, storage: ImageStorage, repository: ImageRepository, place: int, key: str | None
    ) -> None:
        known = await repository.add(make_draft(tags=("one",)))
        rows = storage.child_rows()
        claim = IdempotencyClaim("alice", key, "a" * 64)
        drafts = make_batch(3, prompt="quite another prompt", tags=("two",), derived_from=(known.guid,), claim=claim)
        drafts[place] = alter(drafts[place], guid=known.guid)
        with pytest.raises(ConstraintViolationError) as caught:
            await repository.add_batch(drafts)
        assert not isinstance(caught.value, IdempotencyKeyTakenError)
        assert await repository.get(known.guid) == known
        assert [draft.guid for draft in drafts if storage.stored(draft.guid)] == [known.guid]
        assert storage.child_rows() == rows
        assert await repository.batch(drafts[1].request.batch or "") == ()
        assert await repository.find_claimed("alice", "key") is None
        assert await repository.find_recent("alice", "a" * 64, NOW) is None

    async def test_a_batch_with_one_guid_twice_changes_nothing(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        drafts = make_batch(3, tags=("one",), claim=IdempotencyClaim("alice", "key", "a" * 64))
        drafts[2] = alter(drafts[2], guid=drafts[1].guid)
        with pytest.raises(ConstraintViolationError) as caught:
            await repository.add_batch(drafts)
        assert not isinstance(caught.value, IdempotencyKeyTakenError)
        assert [draft.guid for draft in drafts if storage.stored(draft.guid)] == []
        assert storage.child_rows() == 0
        assert await repository.find_claimed("alice", "key") is None

    async def test_the_claim_of_a_batch_leads_to_its_first(self, repository: ImageRepository) -> None:
        for i, key in enumerate(("key", None)):
            claim = IdempotencyClaim("alice", key, f"{i:064x}")
            images = await repository.add_batch(make_batch(3, claim=claim))
            assert await repository.find_recent("alice", claim.fingerprint, LATER) == images[0]
            if key is not None:
                assert await repository.find_claimed("alice", key) == (images[0], claim.fingerprint)

    async def test_a_batch_whose_claim_is_taken_changes_nothing(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        holder = await repository.add(make_draft(claim=IdempotencyClaim("", "key", "a" * 64)))
        rows = storage.child_rows()
        drafts = make_batch(3, tags=("one",), derived_from=(holder.guid,), claim=IdempotencyClaim("", "key", "b" * 64))
        with pytest.raises(IdempotencyKeyTakenError):
            await repository.add_batch(drafts)
        assert [draft.guid for draft in drafts if storage.stored(draft.guid)] == []
        assert storage.child_rows() == rows
        assert await repository.find_claimed("", "key") == (holder, "a" * 64)
        assert await repository.find_recent("", "b" * 64, NOW) is None

    async def test_exactly_one_concurrent_batch_that_claims_a_key_is_recorded(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        others = [storage.repository() for _ in range(2)]
        for other in others:
            await other.open()
        batches = [
            make_batch(5, prompt="the same words", tags=("one",), claim=IdempotencyClaim("", "key", f"{i:064x}"))
            for i in range(12)
        ]
        outcomes = await asyncio.gather(
            *([repository, *others][i % 3].add_batch(drafts) for i, drafts in enumerate(batches)),
            return_exceptions=True,
        )
        for other in others:
            await other.close()
        ((number, winner),) = [(i, outcome) for i, outcome in enumerate(outcomes) if isinstance(outcome, tuple)]
        assert sum(isinstance(outcome, IdempotencyKeyTakenError) for outcome in outcomes) == 11, outcomes
        assert await repository.find_claimed("", "key") == (winner[0], f"{number:064x}")
        assert await repository.batch(winner[0].guid) == winner
        stored = [draft.guid for drafts in batches for draft in drafts if storage.stored(draft.guid)]
        assert stored == [image.guid for image in winner]
        rows = storage.child_rows()
        for image in winner:
            await repository.delete(image.guid)
        assert (rows > 0, storage.child_rows()) == (True, 0)

    async def test_exactly_one_concurrent_batch_that_shares_a_guid_is_recorded(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        other = storage.repository()
        await other.open()
        shared = make_draft()
        batches = [[*make_batch(2), shared] for _ in range(6)]
        outcomes = await asyncio.gather(
            *((repository, other)[i % 2].add_batch(drafts) for i, drafts in enumerate(batches)), return_exceptions=True
        )
        await other.close()
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
        assert sum(isinstance(outcome, ConstraintViolationError) for outcome in outcomes) == 5, outcomes
        stored = [draft.guid for drafts in batches for draft in drafts[:2] if storage.stored(draft.guid)]
        assert stored == [image.guid for image in winner[:2]]
        assert await repository.get(shared.guid) == winner[2]

    async def test_concurrent_batches_all_succeed(self, storage: ImageStorage, repository: ImageRepository) -> None:
        other = storage.repository()
        await other.open()
        batches = [
            make_batch(
                4,
                prompt="the same words again and again",
                tags=("same", "tags"),
                derived_from=("0b9f1c2d-0000-4000-8000-000000000000",),
                claim=IdempotencyClaim("", None if i % 2 else f"key {i}", "a" * 64),
            )
            for i in range(10)
        ]
        outcomes = await asyncio.gather(
            *((repository, other)[i % 2].add_batch(drafts) for i, drafts in enumerate(batches))
        )
        await other.close()
        for drafts, images in zip(batches, outcomes, strict=True):
            assert images == tuple(draft.recorded(image.id) for draft, image in zip(drafts, images, strict=True))
            assert await repository.batch(drafts[0].guid) == images

    # Claims of idempotency keys

    async def test_a_claim_leads_to_its_image_and_fingerprint(self, repository: ImageRepository) -> None:
        claims = [
            IdempotencyClaim(caller, key, f"{i:064x}")
            for i, (caller, key) in enumerate(
                [("", "key"), ("alice", "key"), ("bob", "key"), ("alice", "KEY"), ("álice", "key"), ("🦆", "~!'\\%_")]
            )
        ]
        images = [await repository.add(make_draft(claim=claim)) for claim in claims]
        for claim, image in zip(claims, images, strict=True):
            assert await repository.find_claimed(claim.caller, claim.key) == (image, claim.fingerprint)
        for caller, key in [("alice", "other"), ("carol", "key"), ("Alice", "key"), ("alice ", "key"), ("bob", "KEY")]:
            assert await repository.find_claimed(caller, key) is None, (caller, key)

    async def test_a_claim_that_is_taken_changes_nothing(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        for caller in ("", "alice"):
            holder = await repository.add(make_draft(claim=IdempotencyClaim(caller, "key", "a" * 64)))
            rows = storage.child_rows()
            draft = make_draft(tags=("one",), claim=IdempotencyClaim(caller, "key", "b" * 64))
            with pytest.raises(IdempotencyKeyTakenError):
                await repository.add(draft)
            assert storage.stored(draft.guid) is None
            assert storage.child_rows() == rows
            assert await repository.find_claimed(caller, "key") == (holder, "a" * 64)

    async def test_a_known_guid_is_not_mistaken_for_a_taken_claim(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft())
        with pytest.raises(ConstraintViolationError) as caught:
            await repository.add(make_draft(guid=image.guid, claim=IdempotencyClaim("alice", "key", "a" * 64)))
        assert not isinstance(caught.value, IdempotencyKeyTakenError)
        assert await repository.find_claimed("alice", "key") is None

    async def test_exactly_one_concurrent_claim_of_a_key_succeeds(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        other = storage.repository()
        await other.open()
        drafts = [make_draft(claim=IdempotencyClaim("", "key", f"{i:064x}")) for i in range(12)]
        outcomes = await asyncio.gather(
            *((repository, other)[i % 2].add(draft) for i, draft in enumerate(drafts)), return_exceptions=True
        )
        await other.close()
        ((number, winner),) = [(i, outcome) for i, outcome in enumerate(outcomes) if isinstance(outcome, Image)]
        assert sum(isinstance(outcome, IdempotencyKeyTakenError) for outcome in outcomes) == 11, outcomes
        assert await repository.find_claimed("", "key") == (winner, f"{number:064x}")

    async def test_an_image_holds_its_key_whatever_its_outcome(self, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", "key", "a" * 64)
        image = await repository.add(make_draft(claim=claim))
        failed = await repository.mark_failed(image.guid, Status.UNKNOWN, Failure("x", "y"), NOW)
        assert await repository.find_claimed("alice", "key") == (failed, "a" * 64)
        ready = await repository.mark_ready(image.guid, make_result(), NOW)
        assert await repository.find_claimed("alice", "key") == (ready, "a" * 64)
        changed = await repository.update(image.guid, ImageChanges(tags=("x",)), LATER)
        assert await repository.find_claimed("alice", "key") == (changed, "a" * 64)
        with pytest.raises(IdempotencyKeyTakenError):
            await repository.add(make_draft(claim=claim))

    async def test_a_failure_may_release_the_key(self, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", "key", "a" * 64)
        image = await repository.add(make_draft(claim=claim))
        await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW, free_key=True)
        assert await repository.find_claimed("alice", "key") is None
        again = await repository.add(make_draft(claim=claim))
        assert await repository.find_claimed("alice", "key") == (again, "a" * 64)

    async def test_a_ready_image_keeps_its_key(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft(claim=IdempotencyClaim("alice", "key", "a" * 64)))
        ready = await repository.mark_ready(image.guid, make_result(), NOW)
        with pytest.raises(ConstraintViolationError):
            await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW, free_key=True)
        assert await repository.find_claimed("alice", "key") == (ready, "a" * 64)

    async def test_a_deleted_image_holds_no_key(self, storage: ImageStorage, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", "key", "a" * 64)
        image = await repository.add(make_draft(claim=claim))
        await repository.delete(image.guid)
        assert await repository.find_claimed("alice", "key") is None
        await repository.add(make_draft(claim=claim))
        storage.delete_by_hand()
        assert await repository.find_claimed("alice", "key") is None
        await repository.add(make_draft(claim=claim))

    async def test_a_claim_is_found_by_its_holder(self, repository: ImageRepository) -> None:
        holder = "b" * 64
        assert await repository.find_held(holder) is None
        drafts = make_batch(2, claim=IdempotencyClaim("", "key", "a" * 64, holder))
        first, _ = await repository.add_batch(drafts)
        later = await repository.add(make_draft(claim=IdempotencyClaim("", "other", "c" * 64, holder)))
        await repository.add(make_draft(claim=IdempotencyClaim("", "none", "d" * 64)))
        assert await repository.find_held(holder) == (first, "a" * 64)
        assert await repository.find_held("c" * 64) is None
        await repository.mark_failed(first.guid, Status.FAILED, Failure("x", "y"), NOW, free_key=True)
        assert await repository.find_held(holder) == (later, "c" * 64)
        await repository.delete(later.guid)
        assert await repository.find_held(holder) is None

    # Claims without a key, and find_recent

    async def test_a_claim_without_a_key_is_not_exclusive(self, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", None, "a" * 64)
        images = await asyncio.gather(*(repository.add(make_draft(claim=claim)) for _ in range(6)))
        newest = max(images, key=lambda image: image.id)
        assert await repository.find_recent("alice", "a" * 64, NOW) == newest
        assert await repository.find_claimed("alice", "key") is None

    async def test_recent_images_have_this_caller_and_fingerprint(self, repository: ImageRepository) -> None:
        images = {}
        for caller in ("", "alice", "bob", "álice", "🦆"):
            for key in (None, "key"):
                claim = IdempotencyClaim(caller, key, ("a" if key else "b") * 64)
                images[caller, claim.fingerprint] = await repository.add(make_draft(claim=claim))
        await repository.add(make_draft())
        for (caller, fingerprint), image in images.items():
            assert await repository.find_recent(caller, fingerprint, NOW) == image, caller
        for caller in ("alice ", "Alice", "carol", " ", "🦆 "):
            assert await repository.find_recent(caller, "a" * 64, NOW) is None, caller
        assert await repository.find_recent("alice", "c" * 64, NOW) is None

    async def test_the_newest_recent_image_is_found(self, repository: ImageRepository) -> None:
        # Neither the creation time nor the time of the last change matters.
        for i in range(4):
            claim = IdempotencyClaim("", f"key {i}" if i % 2 else None, "a" * 64)
            image = await repository.add(make_draft(claim=claim, created_at=NOW - timedelta(minutes=i)))
            if i % 3:
                image = await repository.mark_ready(image.guid, make_result(), LATER - timedelta(seconds=i))
            assert await repository.find_recent("", "a" * 64, NOW) == image

    @pytest.mark.parametrize("status", [Status.READY, Status.FAILED, Status.UNKNOWN])
    async def test_a_settled_image_is_recent_if_updated_at_or_after_a_time(
        self, repository: ImageRepository, status: Status
    ) -> None:
        tick = timedelta(microseconds=1)
        claim = IdempotencyClaim("", None, "a" * 64)
        image = await repository.add(make_draft(claim=claim, created_at=NOW - timedelta(days=1)))
        if status is Status.READY:
            image = await repository.mark_ready(image.guid, make_result(), NOW)
        else:
            image = await repository.mark_failed(image.guid, status, Failure("x", "y"), NOW)
        for since in (NOW - tick, NOW, NOW.astimezone(timezone(timedelta(hours=9)))):
            assert await repository.find_recent("", "a" * 64, since) == image
        assert await repository.find_recent("", "a" * 64, NOW + tick) is None
        changed = await repository.update(image.guid, ImageChanges(tags=("x",)), NOW + tick)
        assert await repository.find_recent("", "a" * 64, NOW + tick) == changed

    async def test_a_generating_image_is_recent_whatever_its_age(self, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("", None, "a" * 64)
        image = await repository.add(make_draft(claim=claim, created_at=NOW - timedelta(days=400)))
        assert await repository.find_recent("", "a" * 64, NOW) == image
        newer = await repository.add(make_draft(claim=claim))
        await repository.mark_ready(newer.guid, make_result(), NOW)
        assert await repository.find_recent("", "a" * 64, LATER) == image

    @pytest.mark.parametrize("key", [None, "key"])
    async def test_an_image_that_released_its_claim_is_not_recent(
        self, repository: ImageRepository, key: str | None
    ) -> None:
        first = await repository.add(make_draft(claim=IdempotencyClaim("alice", None, "a" * 64)))
        image = await repository.add(make_draft(claim=IdempotencyClaim("alice", key, "a" * 64)))
        failed = await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW)
        assert await repository.find_recent("alice", "a" * 64, NOW) == failed
        await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW, free_key=True)
        assert await repository.find_recent("alice", "a" * 64, NOW) == first
        await repository.mark_failed(first.guid, Status.UNKNOWN, Failure("x", "y"), NOW, free_key=True)
        assert await repository.find_recent("alice", "a" * 64, NOW) is None

    async def test_a_deleted_image_is_not_recent(self, storage: ImageStorage, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", None, "a" * 64)
        image, other = [await repository.add(make_draft(claim=claim)) for _ in range(2)]
        await repository.delete(other.guid)
        assert await repository.find_recent("alice", "a" * 64, NOW) == image
        again = await repository.add(make_draft(guid=other.guid))
        assert await repository.find_recent("alice", "a" * 64, NOW) == image != again
        storage.delete_by_hand()
        assert await repository.find_recent("alice", "a" * 64, NOW) is None

    # Predecessors

    async def predecessors(
        self, repository: ImageRepository, caller: str = "alice", fingerprint: str = "a" * 64
    ) -> list[Predecessor]:
        """Return what may be uncertain if things count that happened at NOW or later."""
        return list(await repository.predecessors(caller, fingerprint, ended_since=NOW, left_since=NOW))

    async def test_an_unsettled_image_is_a_predecessor_whatever_its_age(self, repository: ImageRepository) -> None:
        lease = Lease("web1-1", LATER)
        claims = [IdempotencyClaim("alice", key, "a" * 64) for key in (None, "key")]
        long_ago = NOW - timedelta(days=400)
        images = [await repository.add(make_draft(claim=claim, lease=lease, created_at=long_ago)) for claim in claims]
        assert await self.predecessors(repository) == [
            Predecessor(image.guid, Status.GENERATING, long_ago, None, lease, None) for image in images
        ]

    async def test_every_image_of_a_batch_can_be_a_predecessor(self, repository: ImageRepository) -> None:
        first, second = make_batch(2, claim=IdempotencyClaim("alice", "key", "a" * 64))
        await repository.add_batch([first, replace(second, claim=IdempotencyClaim("alice", None, "a" * 64))])
        assert [(found.guid, found.batch) for found in await self.predecessors(repository)] == [
            (first.guid, first.guid),
            (second.guid, first.guid),
        ]
        found = await repository.find_claimed("alice", "key")
        assert found is not None
        assert (found[0].guid, found[1]) == (first.guid, "a" * 64)

    async def test_predecessors_have_this_caller_and_fingerprint(self, repository: ImageRepository) -> None:
        for caller, fingerprint in [("", "a"), ("Alice", "a"), ("alice ", "a"), ("álice", "a"), ("alice", "b")]:
            image = await repository.add(make_draft(claim=IdempotencyClaim(caller, None, fingerprint * 64)))
            await repository.mark_caller_left([image.guid], NOW)
        await repository.add(make_draft())
        assert await self.predecessors(repository) == []

    @pytest.mark.parametrize("is_answered", [False, True])
    @pytest.mark.parametrize("ended_at", [NOW - timedelta(microseconds=1), NOW])
    async def test_a_ready_image_is_a_predecessor_until_its_caller_is_answered(
        self, repository: ImageRepository, ended_at: datetime, is_answered: bool
    ) -> None:
        lease = Lease("web1-1", LATER)
        image = await repository.add(make_draft(claim=IdempotencyClaim("alice", None, "a" * 64), lease=lease))
        await repository.mark_ready(image.guid, make_result(), ended_at)
        if is_answered:
            await repository.mark_answered([image.guid, new_guid()])
        expected = [Predecessor(image.guid, Status.READY, ended_at, None, lease, None)]
        assert await self.predecessors(repository) == (expected if ended_at == NOW and not is_answered else [])

    async def test_an_answer_ends_no_lease_of_an_image_that_is_being_made(self, repository: ImageRepository) -> None:
        lease = Lease("web1-1", LATER)
        image = await repository.add(make_draft(claim=IdempotencyClaim("alice", None, "a" * 64), lease=lease))
        await repository.mark_answered([image.guid])
        assert [found.lease for found in await self.predecessors(repository)] == [lease]

    @pytest.mark.parametrize("status", [Status.READY, Status.FAILED, Status.UNKNOWN])
    @pytest.mark.parametrize("left_at", [None, NOW - timedelta(microseconds=1), NOW])
    @pytest.mark.parametrize("ended_at", [NOW - timedelta(microseconds=1), NOW])
    async def test_a_settled_image_is_a_predecessor_if_recently_unknown_or_left(
        self, repository: ImageRepository, status: Status, left_at: datetime | None, ended_at: datetime
    ) -> None:
        image = await repository.add(make_draft(claim=IdempotencyClaim("alice", None, "a" * 64)))
        if left_at is not None:
            assert await repository.mark_caller_left([image.guid], left_at) == 1
        if status is Status.READY:
            await repository.mark_ready(image.guid, make_result(), ended_at)
            await repository.mark_answered([image.guid])
        else:
            await repository.mark_failed(image.guid, status, Failure("x", "y"), ended_at)
        expected = [Predecessor(image.guid, status, ended_at, None, None, left_at)]
        is_recent = left_at == NOW or (status is Status.UNKNOWN and ended_at == NOW)
        assert await self.predecessors(repository) == (expected if is_recent else [])

    async def test_an_image_that_released_its_claim_is_no_predecessor(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft(claim=IdempotencyClaim("alice", None, "a" * 64)))
        await repository.mark_caller_left([image.guid], NOW)
        await repository.mark_failed(image.guid, Status.UNKNOWN, Failure("x", "y"), NOW, free_key=True)
        assert await self.predecessors(repository) == []

    async def test_a_caller_leaves_several_images_and_changes_nothing_else(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        images = await repository.add_batch(make_batch(3))
        guids = [image.guid for image in images]
        other = await repository.add(make_draft())
        assert (
            await repository.mark_caller_left([*guids, new_guid()], LATER.astimezone(timezone(timedelta(hours=9)))) == 3
        )
        assert await repository.mark_caller_left([*guids], LATER) == 3
        assert await repository.mark_caller_left([new_guid()], LATER) == 0
        assert await repository.batch(images[0].guid) == images
        assert await repository.get(other.guid) == other

    async def test_a_new_image_has_not_been_left(self, repository: ImageRepository) -> None:
        claim = IdempotencyClaim("alice", None, "a" * 64)
        image = await repository.add(make_draft(claim=claim))
        await repository.mark_caller_left([image.guid], NOW)
        await repository.delete(image.guid)
        await repository.add(make_draft(guid=image.guid, claim=claim))
        assert [found.caller_left_at for found in await self.predecessors(repository)] == [None]

    # mark_ready

    async def test_mark_ready_records_the_result(self, storage: ImageStorage, repository: ImageRepository) -> None:
        draft = make_draft(tags=("duck",), author="alice")
        image = await repository.add(alter(draft, filename=filename_for("a duck", draft.guid, "image/webp")))
        result = make_result(
            revised_prompt="a nice duck",
            usage={"total_tokens": 7},
            reported={"size": "1024x1024", "quality": "high"},
        )
        ready = await repository.mark_ready(image.guid, result, LATER)
        filename = filename_for("a duck", draft.guid, "image/png")
        request = replace(image.request, filename=filename, model="sketch-1")
        assert ready == replace(image, request=request, status=Status.READY, updated_at=LATER, result=result)
        assert await repository.get(image.guid) == ready
        assert (storage.stored(image.guid) or {})["status"] == "ready"
        assert await found(repository, filename=filename) == ["a duck"]

    async def test_mark_ready_keeps_a_chosen_filename(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft(filename="Ente.webp"))
        ready = await repository.mark_ready(image.guid, make_result(), LATER)
        assert ready.request.filename == "Ente.webp"
        assert await repository.get(image.guid) == ready

    async def test_mark_ready_of_a_missing_image(self, repository: ImageRepository) -> None:
        with pytest.raises(ImageNotFoundError):
            await repository.mark_ready(new_guid(), make_result(), NOW)

    async def test_mark_ready_again_with_the_same_result_changes_nothing(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft())
        result = make_result(usage={"total_tokens": 7}, reported={"quality": "high"})
        ready = await repository.mark_ready(image.guid, result, NOW)
        assert await repository.mark_ready(image.guid, result, LATER) == ready
        renamed = await repository.update(image.guid, ImageChanges(filename="mine.png"), LATER)
        assert await repository.mark_ready(image.guid, result, LATER + timedelta(1)) == renamed
        assert await repository.get(image.guid) == renamed

    async def test_mark_ready_again_with_another_result_records_it(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft())
        await repository.mark_ready(image.guid, make_result(reported={"quality": "high"}), NOW)
        for reported in ({"quality": "low"}, None, {}):
            ready = await repository.mark_ready(image.guid, make_result(reported=reported), LATER)
            assert (ready.result.reported, ready.updated_at) == (reported, LATER)
            assert await repository.get(image.guid) == ready

    async def test_mark_ready_clears_an_earlier_failure(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft())
        await repository.mark_failed(image.guid, Status.UNKNOWN, Failure("interrupted", "cut short"), NOW)
        ready = await repository.mark_ready(image.guid, make_result(), LATER)
        assert (ready.status, ready.failure) == (Status.READY, None)
        assert await repository.get(image.guid) == ready

    # mark_failed

    @pytest.mark.parametrize("status", [Status.FAILED, Status.UNKNOWN])
    async def test_mark_failed_records_the_reason(
        self, storage: ImageStorage, repository: ImageRepository, status: Status
    ) -> None:
        image = await repository.add(make_draft())
        failure = Failure("prompt-rejected", "Not this one.")
        failed = await repository.mark_failed(image.guid, status, failure, LATER)
        assert failed == replace(image, status=status, failure=failure, updated_at=LATER)
        assert await repository.get(image.guid) == failed
        assert (storage.stored(image.guid) or {})["status"] == status.value

    async def test_mark_failed_of_a_missing_image(self, repository: ImageRepository) -> None:
        with pytest.raises(ImageNotFoundError):
            await repository.mark_failed(new_guid(), Status.FAILED, Failure("x", "y"), NOW)

    async def test_a_ready_image_never_turns_into_a_failure(self, repository: ImageRepository) -> None:
        ready = await add_ready(repository)
        with pytest.raises(ConstraintViolationError):
            await repository.mark_failed(ready.guid, Status.FAILED, Failure("x", "y"), LATER)
        assert await repository.get(ready.guid) == ready

    async def test_ready_wins_over_a_concurrent_failure(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        other = storage.repository()
        await other.open()
        for _ in range(10):
            image = await repository.add(make_draft())
            await asyncio.gather(
                other.mark_failed(image.guid, Status.UNKNOWN, Failure("x", "y"), NOW),
                repository.mark_ready(image.guid, make_result(), NOW),
                return_exceptions=True,
            )
            assert (await repository.get(image.guid)).status is Status.READY
        await other.close()

    # get

    async def test_get_of_a_missing_image(self, repository: ImageRepository) -> None:
        await repository.add(make_draft())
        for guid in (new_guid(), "", "' OR '1'='1", "猫"):
            with pytest.raises(ImageNotFoundError):
                await repository.get(guid)

    async def test_get_whatever_the_status(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft(author="alice", visibility=Visibility.PRIVATE))
        assert (await repository.get(image.guid)).status is Status.GENERATING
        await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW)
        assert (await repository.get(image.guid)).status is Status.FAILED

    async def test_get_visible_follows_the_access_policy(self, repository: ImageRepository) -> None:
        for author in ("alice", "bob", "bob ", None):
            for visibility in Visibility:
                image = await repository.add(make_draft(author=author, visibility=visibility))
                await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW)
                for viewer in (
                    "alice",
                    "bob",
                    "bob ",
                    "Alice",
                    "",
                    "猫",
                    None,
                    Staff("root", None),
                    Staff("bob", "9a"),
                ):
                    if can_see(image, viewer):
                        assert await repository.get_visible(image.guid, viewer) == await repository.get(image.guid)
                    else:
                        with pytest.raises(ImageNotFoundError):
                            await repository.get_visible(image.guid, viewer)

    async def test_get_visible_of_a_missing_image(self, repository: ImageRepository) -> None:
        await repository.add(make_draft())
        for guid in (new_guid(), "", "' OR '1'='1", "猫"):
            for viewer in ("alice", None, Staff("root", None), Staff("miller", "9a")):
                with pytest.raises(ImageNotFoundError):
                    await repository.get_visible(guid, viewer)

    async def test_viewers_at_the_same_time_get_what_each_may_see(self, repository: ImageRepository) -> None:
        images = [
            await repository.add(make_draft(author=author, visibility=visibility))
            for author in ("alice", "bob", None)
            for visibility in Visibility
            for _ in range(3)
        ]
        for image in images[::2]:
            await repository.mark_failed(image.guid, Status.FAILED, Failure("x", "y"), NOW)
            images[images.index(image)] = await repository.update(image.guid, ImageChanges(hidden=True), NOW)
        viewers = ("alice", "bob", "carol", None, Staff("root", None), Staff("alice", None), Staff("bob", "9a"))
        asked = [(image, viewer) for image in images for viewer in viewers]
        asked += [(images[number % 9], f"student {number}") for number in range(120)]
        found = await asyncio.gather(
            *(repository.get_visible(image.guid, viewer) for image, viewer in asked), return_exceptions=True
        )
        for (image, viewer), result in zip(asked, found, strict=True):
            assert result == image if can_see(image, viewer) else isinstance(result, ImageNotFoundError)

    async def test_images_deleted_by_hand_are_gone(self, storage: ImageStorage, repository: ImageRepository) -> None:
        image = await add_ready(repository, tags=("duck",), derived_from=(new_guid(),))
        storage.delete_by_hand()
        with pytest.raises(ImageNotFoundError):
            await repository.get(image.guid)
        assert await found(repository) == []
        assert storage.child_rows() == 0

    # update

    async def test_update_changes_the_given_fields(self, storage: ImageStorage, repository: ImageRepository) -> None:
        image = await add_ready(repository, author="alice", tags=("one", "two"))
        renamed = await repository.update(image.guid, ImageChanges(filename="Ente.png"), LATER)
        assert renamed == alter(image, filename="Ente.png", updated_at=LATER)
        tagged = await repository.update(image.guid, ImageChanges(tags=("three", "two")), LATER)
        assert tagged == alter(renamed, tags=("three", "two"))
        hidden = await repository.update(image.guid, ImageChanges(visibility=Visibility.PRIVATE), LATER)
        assert hidden == alter(tagged, visibility=Visibility.PRIVATE)
        assert await repository.get(image.guid) == hidden
        stored = storage.stored(image.guid) or {}
        assert (stored["filename"], stored["visibility"]) == ("Ente.png", "private")

    async def test_update_of_several_fields_and_of_none(self, repository: ImageRepository) -> None:
        image = await add_ready(repository, tags=("one",))
        changes = ImageChanges(filename="x.png", tags=(), visibility=Visibility.PRIVATE)
        changed = await repository.update(image.guid, changes, NOW)
        assert (changed.request.filename, changed.request.tags, changed.request.visibility) == (
            "x.png",
            (),
            Visibility.PRIVATE,
        )
        assert await repository.update(image.guid, ImageChanges(), LATER) == replace(changed, updated_at=LATER)

    async def test_update_changes_search_results(self, repository: ImageRepository) -> None:
        image = await add_ready(repository, filename="old.png", tags=("old",))
        await repository.update(image.guid, ImageChanges(filename="new.png", tags=("new",)), NOW)
        assert await found(repository, filename="new", tags=("new",)) == ["a duck"]
        assert await found(repository, filename="old") == []
        assert await found(repository, tags=("old",)) == []

    async def test_update_of_a_missing_image(self, repository: ImageRepository) -> None:
        with pytest.raises(ImageNotFoundError):
            await repository.update(new_guid(), ImageChanges(tags=("x",)), NOW)

    async def test_concurrent_updates_leave_one_of_them_whole(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        image = await add_ready(repository)
        rows = storage.child_rows()
        other = storage.repository()
        await other.open()
        await asyncio.gather(
            *(
                (repository, other)[i % 2].update(
                    image.guid, ImageChanges(filename=f"{i}.png", tags=(f"tag{i}", f"and{i}")), NOW
                )
                for i in range(10)
            )
        )
        await other.close()
        final = await repository.get(image.guid)
        number = final.request.filename.removesuffix(".png")
        assert final.request.tags == (f"tag{number}", f"and{number}")
        assert storage.child_rows() - rows in {0, 2}
        assert await found(repository, tags=final.request.tags) == ["a duck"]

    # set_placeholder

    async def test_a_placeholder_is_kept_and_nothing_else_changes(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        image, other = await add_ready(repository, tags=("a",)), await add_ready(repository)
        assert image.placeholder is None
        text = "data:image/webp;base64," + "QUJD" * 119
        await repository.set_placeholder(image.guid, text)
        changed = replace(image, placeholder=text)
        assert await repository.get(image.guid) == changed
        assert (await repository.search(ImageQuery())).items == (other, changed)
        await repository.set_placeholder(image.guid, "data:,")
        assert await repository.get(image.guid) == replace(image, placeholder="data:,")

    async def test_a_placeholder_stays_with_the_image(self, repository: ImageRepository) -> None:
        image = await add_ready(repository)
        await repository.set_placeholder(image.guid, "data:,")
        assert (await repository.update(image.guid, ImageChanges(tags=("b",)), LATER)).placeholder == "data:,"
        assert (await repository.mark_ready(image.guid, make_result(), LATER)).placeholder == "data:,"

    async def test_a_placeholder_of_a_missing_image_is_no_error(
        self, storage: ImageStorage, repository: ImageRepository
    ) -> None:
        missing = new_guid()
        for guid in (missing, "", "猫", "x" * 36):
            await repository.set_placeholder(guid, "data:,")
        assert storage.stored(missing) is None

    # delete

    async def test_delete_leaves_nothing(self, storage: ImageStorage, repository: ImageRepository) -> None:
        kept = await add_ready(repository, prompt="kept", tags=("kept",))
        rows = storage.child_rows()
        image = await add_ready(
            repository, prompt="many different words to find it by", tags=("one", "two"), derived_from=(kept.guid,)
        )
        await repository.delete(image.guid)
        assert storage.stored(image.guid) is None
        assert storage.child_rows() == rows
        with pytest.raises(ImageNotFoundError):
            await repository.get(image.guid)
        assert (await repository.search(ImageQuery())).items == (kept,)

    async def test_images_keep_the_guid_of_a_deleted_source(self, repository: ImageRepository) -> None:
        parent = await add_ready(repository)
        child = await add_ready(repository, derived_from=(parent.guid,))
        await repository.delete(parent.guid)
        assert await repository.get(child.guid) == child
        assert (await repository.search(ImageQuery(derived_from=parent.guid))).items == (child,)

    async def test_delete_of_a_missing_image(self, repository: ImageRepository) -> None:
        image = await repository.add(make_draft())
        await repository.delete(image.guid)
        for guid in (image.guid, new_guid()):
            with pytest.raises(ImageNotFoundError):
                await repository.delete(guid)

    async def test_exactly_one_concurrent_delete_succeeds(self, repository: ImageRepository) -> None:
        image = await add_ready(repository, tags=("duck",))
        outcomes = await asyncio.gather(*(repository.delete(image.guid) for _ in range(6)), return_exceptions=True)
        assert outcomes.count((image.guid,)) == 1
        assert sum(isinstance(outcome, ImageNotFoundError) for outcome in outcomes) == 5

    # search: visibility

    async def test_visibility_of_images_to_viewers(self, repository: ImageRepository) -> None:
        for author in (None, "alice", "bob", "bob "):
            for visibility in Visibility:
                if author or visibility is Visibility.PUBLIC:
                    await add_ready(repository, prompt=f"{author} {visibility}", author=author, visibility=visibility)
        public = ["bob  public", "bob public", "alice public", "None public"]
        assert await found(repository) == public
        assert await found(repository, viewer="carol") == public
        assert await found(repository, viewer="alice") == [*public[:2], "alice private", *public[2:]]
        assert await found(repository, viewer="bob") == ["bob  public", "bob private", *public[1:]]
        assert await found(repository, viewer="BOB") == public
        assert await found(repository, viewer="alice", visibility=Visibility.PRIVATE) == ["alice private"]
        assert await found(repository, viewer="alice", visibility=Visibility.PUBLIC) == public
        assert await found(repository, visibility=Visibility.PRIVATE) == []
        assert await found(repository, viewer="alice", author="bob") == ["bob public"]
        assert await found(repository, viewer="bob", author="bob") == ["bob private", "bob public"]
        assert await found(repository, author="bob") == ["bob public"]
        assert await found(repository, author="bob ") == ["bob  public"]
        assert await found(repository, author="Bob") == []
        assert await found(repository, viewer="bob", author="bob", visibility=Visibility.PRIVATE) == ["bob private"]
        assert await found(repository, viewer="alice", author="bob", visibility=Visibility.PRIVATE) == []

    async def test_other_statuses_are_seen_by_the_author_only(self, repository: ImageRepository) -> None:
        for author in (None, "alice", "bob"):
            await repository.add(make_draft(author=author, prompt=f"{author} generating"))
            for status in (Status.FAILED, Status.UNKNOWN):
                image = await repository.add(make_draft(author=author, prompt=f"{author} {status}"))
                await repository.mark_failed(image.guid, status, Failure("x", "y"), NOW)
            await add_ready(repository, author=author, prompt=f"{author} ready")
        for status in (Status.GENERATING, Status.FAILED, Status.UNKNOWN):
            assert await found(repository, viewer="alice", status=status) == [f"alice {status}"]
            assert await found(repository, viewer="alice", author="alice", status=status) == [f"alice {status}"]
            assert await found(repository, viewer="alice", author="bob", status=status) == []
            assert await found(repository, viewer="carol", status=status) == []
            assert await found(repository, status=status) == []
        assert await found(repository) == ["bob ready", "alice ready", "None ready"]

    # search: filters

    async def test_filters(self, repository: ImageRepository) -> None:
        images = [
            await add_ready(
                repository,
                prompt=f"image {i}",
                filename=filename,
                tags=tags,
                created_at=NOW + timedelta(microseconds=i),
            )
            for i, (filename, tags) in enumerate(
                [
                    ("Café-Crème.png", ("duck", "bath")),
                    ("100%_sure.png", ("duck",)),
                    ("back`tick'quote\".png", ("bath", "duck", "ducks")),
                    ("猫と犬🦆.png", ("Äther", "a ")),
                ]
            )
        ]

        async def numbers(**values: Any) -> list[int]:
            return [int(prompt.split()[1]) for prompt in await found(repository, **values)]

        assert await numbers() == [3, 2, 1, 0]
        for needle, expected in {
            "cafe": [0],
            "e-c": [0],
            "%": [1],
            "_": [1],
            "0%_s": [1],
            "`": [2],
            "'": [2],
            '"': [2],
            "犬": [3],
            "🦆": [3],
            ".PNG": [3, 2, 1, 0],
            "\\": [],
            "zebra": [],
            "png ": [],
        }.items():
            assert await numbers(filename=fold(needle)) == expected, needle
        for tags, expected in {
            ("duck",): [2, 1, 0],
            ("duck", "bath"): [2, 0],
            ("bath", "duck", "ducks"): [2],
            ("duc",): [],
            ("Duck",): [],
            ("äther",): [],
            ("Äther",): [3],
            ("a ",): [3],
            ("a",): [],
            ("%",): [],
            ("' OR '1'='1",): [],
        }.items():
            assert await numbers(tags=tags) == expected, tags
        assert await numbers(guid=images[1].guid) == [1]
        for guid in (new_guid(), images[1].guid.upper() + "A", f"{images[1].guid} ", "猫", "", "x' OR 1=1 -- "):
            assert await numbers(guid=guid) == [], guid
        assert await numbers(created_after=images[1].request.created_at) == [3, 2]
        assert await numbers(created_before=images[1].request.created_at) == [0]
        assert await numbers(
            created_after=images[0].request.created_at, created_before=images[3].request.created_at
        ) == [2, 1]
        assert await numbers(created_after=images[3].request.created_at) == []
        east = images[1].request.created_at.astimezone(timezone(timedelta(hours=9)))
        assert await numbers(created_after=east) == [3, 2]
        assert await numbers(created_after=datetime.min.replace(tzinfo=UTC)) == [3, 2, 1, 0]
        assert await numbers(created_before=datetime.max.replace(tzinfo=UTC)) == [3, 2, 1, 0]

    async def test_images_are_found_by_their_sources(self, repository: ImageRepository) -> None:
        one, other = [(await add_ready(repository, prompt=prompt)).guid for prompt in ("one", "other")]
        await add_ready(repository, prompt="child", derived_from=(one,))
        await add_ready(repository, prompt="of both", derived_from=(other, one))
        await add_ready(repository, prompt="twice", derived_from=(one, one), author="alice")
        await add_ready(
            repository, prompt="private", derived_from=(one,), author="alice", visibility=Visibility.PRIVATE
        )
        await repository.add(make_draft(prompt="generating", derived_from=(one,), author="alice"))
        assert await found(repository, derived_from=one) == ["twice", "of both", "child"]
        assert await found(repository, derived_from=other) == ["of both"]
        assert await found(repository, derived_from=one, viewer="alice") == ["private", "twice", "of both", "child"]
        assert await found(repository, derived_from=one, viewer="bob") == ["twice", "of both", "child"]
        assert await found(repository, derived_from=one, author="alice") == ["twice"]
        generating = await found(repository, derived_from=one, viewer="alice", status=Status.GENERATING)
        assert generating == ["generating"]
        page = await repository.search(ImageQuery(derived_from=one, limit=2))
        assert [image.request.prompt for image in page.items] == ["twice", "of both"]
        rest = ImageQuery(derived_from=one, before_id=page.next_before_id)
        assert [image.request.prompt for image in (await repository.search(rest)).items] == ["child"]
        for guid in (new_guid(), one.upper() + "A", f"{one} ", "猫", "", "x' OR 1=1 -- ", "🦆" * 36):
            assert await found(repository, derived_from=guid) == [], repr(guid)

    async def test_images_that_are_derived_from_one_by_the_thousand(self, repository: ImageRepository) -> None:
        # More images than any adapter examines one by one before it reads the posting list.
        parent = new_guid()
        for prompt in ("one duck", "two ducks"):
            await add_ready(repository, prompt=prompt, derived_from=(parent,) * 1100)
        await add_ready(repository, prompt="another duck", derived_from=(new_guid(),))
        assert await found(repository, derived_from=parent) == ["two ducks", "one duck"]
        assert await found(repository, derived_from=parent, limit=1) == ["two ducks"]
        assert await found(repository, derived_from=parent, terms=("ducks",)) == ["two ducks"]

    async def test_every_filter_that_is_set_must_hold(self, repository: ImageRepository) -> None:
        parent = new_guid()
        image = await add_ready(
            repository,
            prompt="a rubber duck",
            filename="duck.png",
            tags=("bath",),
            author="alice",
            visibility=Visibility.PRIVATE,
            derived_from=(parent,),
        )
        await add_ready(repository, prompt="another rubber duck", filename="duck.png", tags=("bath",), author="alice")
        query = ImageQuery(
            viewer="alice",
            terms=("rubber", "duck"),
            filename="duck",
            guid=image.guid,
            tags=("bath",),
            author="alice",
            visibility=Visibility.PRIVATE,
            derived_from=parent,
            created_after=NOW - timedelta(1),
            created_before=NOW + timedelta(1),
            before_id=image.id + 1,
            after_id=image.id - 1,
        )
        assert (await repository.search(query)).items == (image,)
        wrong: list[dict[str, Any]] = [
            {"viewer": "bob"},
            {"viewer": None},
            {"terms": ("rubber", "goose")},
            {"filename": "goose"},
            {"guid": new_guid()},
            {"tags": ("bath", "sink")},
            {"author": "bob"},
            {"visibility": Visibility.PUBLIC},
            {"status": Status.FAILED},
            {"derived_from": new_guid()},
            {"created_after": NOW},
            {"created_before": NOW},
            {"before_id": image.id},
            {"after_id": image.id},
        ]
        for change in wrong:
            page = await repository.search(replace(query, **change))
            assert (page.items, page.next_before_id) == ((), None), change

    # search: words

    PROMPTS = (
        "A rubber duck on the sink",
        "Café crème à Paris, Straße",
        "İstanbul'da bir KEDİ",
        "two 🦆🦆 and 👩\u200d🚀 on Mars",
        "一只猫坐在桌子上",
        "ネコとイヌが公園で遊ぶ",
        '100% cotton, snake_case C:\\temp "quoted" it\'s',
        "'; DROP TABLE images; -- Robert",
        "x9 of it",
        "猫 cat ﬁne Ångström ﾈｺ",
    )

    FOUND: ClassVar[dict[str, list[int]]] = {
        "duck": [0],
        "DUCK": [0],
        "duc": [0],
        "d": [7, 2, 0],
        "uck": [],
        "ducks": [],
        "rubber duck": [0],
        "duck rubber": [0],
        "duck the a on": [0],
        "rubber goose": [],
        "the": [0],
        "on": [3, 0],
        "a": [9, 3, 1, 0],
        "it": [8, 6],
        "of": [8],
        "x": [8],
        "x9": [8],
        "9": [],
        "cafe": [1],
        "Café": [1],
        "cafe\u0301": [1],
        "CREME": [1],
        "strasse": [1],
        "straße": [1],
        "stras": [1],
        "istanbul": [2],
        "İSTANBUL": [2],
        "kedi": [2],
        "KEDİ": [2],
        "🦆": [3],
        "🚀 mars": [3],
        "🦢": [],
        "猫": [9, 4],
        "一只猫": [4],
        "猫坐": [4],
        "桌子": [4],
        "子桌": [],
        "上": [4],
        "狗": [],
        "ネコ": [9, 5],
        "公園": [5],
        "イヌ 遊ぶ": [5],
        "ヌ": [5],
        "%": [6],
        "100%": [6],
        "_": [6],
        "\\": [6],
        '"': [6],
        "'": [7, 6, 2],
        "snake": [6],
        "snake_case": [6],
        "c:\\temp": [6],
        "drop table": [7],
        "'; DROP TABLE images; --": [7],
        "' OR '1'='1": [],
        "rob%": [7],
        "r%t": [7, 0],
        "fine": [9],
        "angstrom": [9],
    }
    """Search queries, each with the prompts it must find."""

    async def test_words(self, repository: ImageRepository) -> None:
        for prompt in self.PROMPTS:
            await add_ready(repository, prompt=prompt)
        answers = {}
        for text in self.FOUND:
            prompts = await found(repository, terms=query_terms(text))
            answers[text] = [self.PROMPTS.index(prompt) for prompt in prompts]
        assert answers == self.FOUND

    async def test_many_words_and_tags_at_once(self, repository: ImageRepository) -> None:
        words = [f"word{i:02}" for i in range(64)]
        tags = tuple(f"tag{i:02}" for i in range(32))
        for prompt in (" ".join(words), " ".join(words[:63])):
            await add_ready(repository, prompt=prompt, tags=tags)
        assert await found(repository, terms=tuple(words), tags=tags) == [" ".join(words)]
        assert len(await found(repository, terms=tuple(words[:63]), tags=tags)) == 2

    async def test_words_that_thousands_of_images_share(self, repository: ImageRepository) -> None:
        # More images than any adapter examines one by one before it reads the posting list.
        common = "common " + " ".join(f"commonplace{i}" for i in range(1100))
        for prompt in (common, f"{common} last", "rare commoner", common):
            await add_ready(repository, prompt=prompt)
        assert await found(repository, terms=("common",), limit=2) == [common, "rare commoner"]
        assert await found(repository, terms=("common", "commonp", "last")) == [f"{common} last"]
        assert await found(repository, terms=("common", "commonplace1099"), limit=1) == [common]
        assert await found(repository, terms=("common", "commonp"), limit=2) == [common, f"{common} last"]

    # search: pages

    async def test_no_match_is_an_empty_page(self, repository: ImageRepository) -> None:
        page = await repository.search(ImageQuery())
        assert (page.items, page.next_before_id) == ((), None)

    async def test_pages_follow_each_other_newest_first(self, repository: ImageRepository) -> None:
        images = [
            await add_ready(
                repository,
                author=("alice", "bob", None)[i % 3],
                visibility=Visibility.PRIVATE if i % 3 != 2 and i % 2 else Visibility.PUBLIC,
                created_at=NOW - timedelta(seconds=i),
            )
            for i in range(14)
        ]
        for viewer in (None, "alice", "bob"):
            visible = [
                image
                for image in reversed(images)
                if image.request.visibility is Visibility.PUBLIC or (viewer and image.request.author == viewer)
            ]
            for limit in (1, 2, 3, len(visible) - 1, len(visible), 200):
                collected: list[Image] = []
                before: int | None = None
                while True:
                    page = await repository.search(ImageQuery(viewer=viewer, limit=limit, before_id=before))
                    collected += page.items
                    if page.next_before_id is None:
                        break
                    assert len(page.items) == limit
                    before = page.next_before_id
                assert collected == visible

    async def test_pages_stay_correct_while_images_are_added_and_deleted(self, repository: ImageRepository) -> None:
        first = [await add_ready(repository, prompt=f"duck {i}") for i in range(20)]
        doomed = {image.guid for image in first[::3]}
        seen: list[str] = []
        before: int | None = None
        while True:
            page = await repository.search(ImageQuery(limit=4, before_id=before, terms=("duck",)))
            seen += [image.guid for image in page.items]
            if page.next_before_id is None:
                break
            before = page.next_before_id
            await asyncio.gather(*(add_ready(repository, prompt="a duck that came later") for _ in range(3)))
            for guid in sorted(doomed)[:2]:
                doomed.discard(guid)
                await repository.delete(guid)
        assert len(seen) == len(set(seen))
        steady = [image.guid for image in reversed(first) if image not in first[::3]]
        assert [guid for guid in seen if guid in steady] == steady
        assert set(seen) <= {image.guid for image in first}

    # Cancelled callers

    async def test_cancelled_calls_harm_no_later_ones(self, repository: ImageRepository) -> None:
        image = await add_ready(repository)
        for delay in (0, 0, 0.001, 0.002, 0.005) * 4:
            tasks = [
                asyncio.create_task(work)
                for work in (
                    repository.add(make_draft()),
                    repository.get(image.guid),
                    repository.search(ImageQuery(terms=("duck",))),
                    repository.update(image.guid, ImageChanges(tags=("x",)), NOW),
                )
            ]
            await asyncio.sleep(delay)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        added = await asyncio.gather(*(repository.add(make_draft()) for _ in range(8)))
        assert [await repository.get(one.guid) for one in added] == added
