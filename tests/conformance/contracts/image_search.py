"""The contract of searches: every repository finds the same images, whatever its bounds."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.image import Failure, Image, Status, Visibility, new_guid
from pixyproxy.domain.query import ImageQuery
from pixyproxy.domain.search_terms import fold, index_terms
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.images import NOW, alter, make_draft, make_result

WORDS = ("duck", "ducks", "duckling", "dusk", "dawn", "sink", "sinking", "a", "rubber", "猫と犬")
TAGS = ("bath", "toys", "bathroom")
AUTHORS = (None, "alice", "bob", "bob ")
PARENTS = (new_guid(), new_guid())
MOST_IMAGES = 40

Value = Callable[[random.Random, list[Image]], Any]
VALUES: dict[str, Value] = {
    "viewer": lambda draw, _: draw.choice((None, "alice", "bob")),
    "terms": lambda draw, _: draw.choice(
        [
            ("duck",),
            ("d",),
            ("du", "s"),
            ("sink", "duck"),
            ("dawn", "dusk"),
            ("r", "a", "d", "sink"),
            ("goose",),
            ("猫と",),
        ]
    ),
    "filename": lambda draw, _: draw.choice(("duck", "1", ".png", "goose")),
    "guid": lambda draw, images: draw.choice([draw.choice(images).guid, new_guid()]),
    "tags": lambda draw, _: draw.choice([("bath",), ("bath", "toys"), ("bathroom",), ("sink",)]),
    "author": lambda draw, _: draw.choice(("alice", "bob", "carol")),
    "visibility": lambda draw, _: draw.choice(list(Visibility)),
    "status": lambda draw, _: draw.choice(list(Status)),
    "derived_from": lambda draw, _: draw.choice((*PARENTS, new_guid())),
    "created_after": lambda draw, images: (
        draw.choice(images).request.created_at + draw.choice((-1, 0, 1)) * timedelta(hours=1)
    ),
    "created_before": lambda draw, images: (
        draw.choice(images).request.created_at + draw.choice((-1, 0, 1)) * timedelta(hours=1)
    ),
}
"""Functions that choose a value for each filter; some images, or none, match it."""


class SearchStorage(ABC):
    """Repositories on one storage, which each suite provides."""

    @abstractmethod
    def repository(self) -> ImageRepository:
        """Return a new repository, not yet open, as the service uses it."""

    @abstractmethod
    def frugal(self) -> ImageRepository:
        """Return a new repository that examines a handful of images for a page."""

    @abstractmethod
    def maintenance(self) -> MaintenanceRepository:
        """Return a repository that restores images on the same storage."""


def matches(image: Image, query: ImageQuery) -> bool:
    """Return whether the query must find the image."""
    words = index_terms(image.request.prompt)
    public = image.request.visibility is Visibility.PUBLIC and query.status is Status.READY
    own = query.viewer is not None and image.request.author == query.viewer
    return all(
        (
            public or own,
            image.status is query.status,
            query.visibility in (None, image.request.visibility),
            query.author in (None, image.request.author),
            query.guid in (None, image.guid),
            query.derived_from is None or query.derived_from in image.request.derived_from,
            query.created_after is None or image.request.created_at > query.created_after,
            query.created_before is None or image.request.created_at < query.created_before,
            query.filename is None or query.filename in fold(image.request.filename),
            all(tag in image.request.tags for tag in query.tags),
            all(any(word.startswith(term) for word in words) for term in query.terms),
        )
    )


async def follow(repository: ImageRepository, query: ImageQuery) -> tuple[list[Image], int]:
    """Follow all cursors; return the images found and how many pages were short although others followed."""
    collected: list[Image] = []
    short = 0
    while True:
        page = await repository.search(query)
        assert len(page.items) <= query.limit
        collected += page.items
        if page.next_before_id is None:
            return collected, short
        short += len(page.items) < query.limit
        before = page.next_before_id
        assert query.before_id is None or before < query.before_id
        query = replace(query, before_id=before)


async def add_images(repository: ImageRepository) -> list[Image]:
    """Add images of every kind and return them, newest first; some are much older than images added before them."""
    draw = random.Random(7)
    added: list[Image] = []
    for i in range(MOST_IMAGES):
        author = draw.choice(AUTHORS)
        at = NOW + timedelta(minutes=20 * i)
        draft = make_draft(
            prompt=" ".join(draw.choices(WORDS, k=draw.randint(1, 4))),
            filename=f"{draw.choice(WORDS)}-{i}.png",
            tags=tuple(draw.sample(TAGS, k=draw.randint(0, 2))),
            author=author,
            visibility=Visibility.PRIVATE if author and draw.random() < 0.3 else Visibility.PUBLIC,
            derived_from=tuple(draw.choices(PARENTS, k=draw.choice((0, 0, 1, 3)))),
            created_at=at - draw.choice((0, 0, 0, 0, 1, 10)) * timedelta(minutes=50),
        )
        image = await repository.add(draft)
        if i % 10 == 3:
            image = await repository.mark_failed(draft.guid, Status.FAILED, Failure("x", "y"), NOW)
        elif i % 10 != 4:
            image = await repository.mark_ready(draft.guid, make_result(), NOW)
        added.insert(0, image)
    return added


class ImageSearchContract:
    """Tests for a suite with a fixture `storage`."""

    @pytest.fixture
    async def repository(self, storage: SearchStorage) -> AsyncIterator[ImageRepository]:
        repository = storage.repository()
        await repository.open()
        yield repository
        await repository.close()

    @pytest.fixture
    async def frugal(self, storage: SearchStorage, repository: ImageRepository) -> AsyncIterator[ImageRepository]:
        frugal = storage.frugal()
        await frugal.open()
        yield frugal
        await frugal.close()

    @pytest.fixture
    async def images(self, repository: ImageRepository) -> list[Image]:
        return await add_images(repository)

    async def test_every_pair_of_filters(
        self, repository: ImageRepository, frugal: ImageRepository, images: list[Image]
    ) -> None:
        draw = random.Random(11)
        short = matched = 0
        for pair in combinations(VALUES, 2):
            for _ in range(3):
                values = {name: VALUES[name](draw, images) for name in pair}
                query = ImageQuery(limit=draw.choice((1, 2, 3)), **{"viewer": draw.choice((None, "bob"))} | values)
                expected = [image for image in images if matches(image, query)]
                found, shorter = await follow(frugal, query)
                assert found == expected, query
                assert await follow(repository, query) == (expected, 0), query
                short += shorter
                matched += len(found)
        assert short > 15
        assert matched > 300

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        names=st.sets(st.sampled_from(sorted(VALUES)), max_size=5),
        seed=st.integers(0, 10**6),
        limit=st.integers(1, 5),
        start=st.integers(0, MOST_IMAGES),
    )
    async def test_any_filters_from_any_cursor(
        self, frugal: ImageRepository, images: list[Image], names: set[str], seed: int, limit: int, start: int
    ) -> None:
        draw = random.Random(seed)
        values = {name: VALUES[name](draw, images) for name in sorted(names)}
        query = ImageQuery(limit=limit, before_id=images[start].id if start < len(images) else None, **values)
        below = images[start + 1 :] if start < len(images) else images
        assert (await follow(frugal, query))[0] == [image for image in below if matches(image, query)]

    async def test_page_after_the_oldest_image_is_empty(self, frugal: ImageRepository, images: list[Image]) -> None:
        for before in (0, 1, images[-1].id):
            for values in ({}, {"terms": ("d",)}, {"created_after": NOW - timedelta(days=9)}):
                page = await frugal.search(ImageQuery(viewer="bob", before_id=before, **values))
                assert (page.items, page.next_before_id) == ((), None)

    async def test_search_without_matches_ends(self, repository: ImageRepository, frugal: ImageRepository) -> None:
        for i in range(30):
            await add_ready(repository, prompt=("dawn", "dusk")[i % 2])
        query = ImageQuery(terms=("dawn", "dusk"))
        found, short = await follow(frugal, query)
        assert found == []
        assert 2 <= short <= 30
        assert await follow(repository, query) == ([], 0)

    async def test_time_bounds_find_images_added_in_any_order(
        self, repository: ImageRepository, frugal: ImageRepository
    ) -> None:
        # Years apart and in random order, as after a restoration: ids are unrelated to times.
        years = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4]
        images = [
            await add_ready(repository, prompt="duck", created_at=NOW.replace(year=2000 + year, microsecond=i))
            for i, year in enumerate(years)
        ]
        for after in range(10):
            for before in range(after, 11):
                query = ImageQuery(
                    created_after=datetime(2000 + after, 1, 1, tzinfo=UTC),
                    created_before=datetime(2000 + before, 1, 1, tzinfo=UTC),
                    limit=3,
                )
                expected = [
                    image for image in reversed(images) if after <= image.request.created_at.year - 2000 < before
                ]
                for terms in ((), ("duck",)):
                    assert (await follow(frugal, replace(query, terms=terms)))[0] == expected
                assert await follow(repository, query) == (expected, 0)

    async def test_restored_images_are_found_by_their_time_of_creation(
        self, storage: SearchStorage, repository: ImageRepository, frugal: ImageRepository
    ) -> None:
        for i in range(12):
            await add_ready(repository, created_at=NOW + timedelta(hours=i))
        maintenance = storage.maintenance()
        await maintenance.open()
        model = (await repository.search(ImageQuery(limit=1))).items[0]
        for i in range(3):
            restored = alter(model, guid=new_guid(), prompt=f"restored {i}", created_at=NOW + timedelta(minutes=i))
            assert await maintenance.restore(restored)
        await maintenance.close()
        await add_ready(repository, created_at=NOW + timedelta(hours=12))
        query = ImageQuery(created_before=NOW + timedelta(hours=4), limit=2)
        found, _ = await follow(frugal, query)
        assert [image.request.prompt for image in found] == ["restored 2", "restored 1", "restored 0", *["a duck"] * 4]
        assert await follow(repository, query) == (found, 0)

    async def test_pages_stay_right_while_images_are_added_and_deleted(
        self, repository: ImageRepository, frugal: ImageRepository
    ) -> None:
        for i in range(36):
            prompt, at = "duck" if i % 3 else "goose", NOW + timedelta(hours=i)
            await add_ready(repository, prompt=prompt, created_at=at)
        for query in (
            ImageQuery(limit=2, terms=("duck",)),
            ImageQuery(limit=3, terms=("duck",), created_before=NOW + timedelta(days=9)),
        ):
            there, _ = await follow(repository, query)
            doomed = there[::4]
            steady = [image for image in there if image not in doomed]
            seen: list[Image] = []
            while True:
                page = await frugal.search(query)
                seen += page.items
                if page.next_before_id is None:
                    break
                query = replace(query, before_id=page.next_before_id)
                later = [NOW + timedelta(hours=hours) for hours in (3, 40)]
                await asyncio.gather(*(add_ready(repository, prompt="duck", created_at=at) for at in later))
                if doomed:
                    await repository.delete(doomed.pop().guid)
            assert not doomed
            assert [image for image in seen if image in steady] == steady
            assert len(seen) == len({image.guid for image in seen})
            assert all(image in there for image in seen)
