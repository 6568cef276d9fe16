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

from pixyproxy.domain.access import Staff, Viewer, can_see, is_author
from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.image import Failure, Image, ImageChanges, Status, Visibility, new_guid
from pixyproxy.domain.query import ImageQuery
from pixyproxy.domain.search_terms import fold, index_terms
from pixyproxy.domain.user import Role, User
from pixyproxy.ports.accounts.user_repository import UserRepository
from pixyproxy.ports.image_repository import ImageRepository
from pixyproxy.ports.maintenance_repository import MaintenanceRepository
from tests.conformance.contracts.image_repository import add_ready
from tests.fixtures.images import NOW, alter, make_draft, make_result

WORDS = ("duck", "ducks", "duckling", "dusk", "dawn", "sink", "sinking", "a", "rubber", "猫と犬")
TAGS = ("bath", "toys", "bathroom")
AUTHORS = (None, "alice", "bob", "bob ")
MODELS = ("gpt-image-2", "flux-1")
PARENTS = (new_guid(), new_guid())
MOST_IMAGES = 40
STUDENTS = (User("alice", "9a"), User("bob", "9b"))
VIEWERS: tuple[Viewer, ...] = (
    *(None, "alice", "bob", "carol"),
    *(Staff("root", None), Staff("alice", None), Staff("miller", "9a"), Staff("smith", "9b"), Staff("bob", "9a")),
)

Value = Callable[[random.Random, list[Image]], Any]
VALUES: dict[str, Value] = {
    "viewer": lambda draw, _: draw.choice(VIEWERS),
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
    "model": lambda draw, _: draw.choice((*MODELS, MODELS[0] + " ", MODELS[0].upper(), "")),
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

    @abstractmethod
    def users(self) -> UserRepository:
        """Return the roster on the same storage."""


def author_of(image: Image) -> User | None:
    """Return the author as the roster has them."""
    return next((user for user in STUDENTS if user.username == image.request.author), None)


def matches(image: Image, query: ImageQuery) -> bool:
    """Return whether the query must find the image."""
    words = index_terms(image.request.prompt)
    return all(
        (
            query.status is Status.READY or is_author(image, query.viewer),
            can_see(image, query.viewer, author_of(image)),
            image.status is query.status,
            query.visibility in (None, image.request.visibility),
            query.author in (None, image.request.author),
            query.model in (None, image.request.model),
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
            image = await repository.mark_ready(draft.guid, make_result(model=draw.choice(MODELS)), NOW)
        if i % 2 == 1:
            image = await repository.update(draft.guid, ImageChanges(hidden=True), NOW)
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
    async def users(self, storage: SearchStorage, repository: ImageRepository) -> AsyncIterator[UserRepository]:
        users = storage.users()
        await users.open()
        for student in STUDENTS:
            await users.add(student)
        yield users
        await users.close()

    @pytest.fixture
    async def images(self, repository: ImageRepository, users: UserRepository) -> list[Image]:
        return await add_images(repository)

    async def test_every_pair_of_filters(
        self, repository: ImageRepository, frugal: ImageRepository, images: list[Image]
    ) -> None:
        draw = random.Random(11)
        short = matched = 0
        for pair in combinations(VALUES, 2):
            for _ in range(3):
                values = {name: VALUES[name](draw, images) for name in pair}
                query = ImageQuery(limit=draw.choice((1, 2, 3)), **{"viewer": draw.choice(VIEWERS)} | values)
                expected = [image for image in images if matches(image, query)]
                found, shorter = await follow(frugal, query)
                assert found == expected, query
                assert await follow(repository, query) == (expected, 0), query
                short += shorter
                matched += len(found)
        assert short > 15
        assert matched > 300

    async def test_every_viewer_finds_what_they_see(self, repository: ImageRepository, images: list[Image]) -> None:
        found = {}
        for viewer in VIEWERS:
            query = ImageQuery(viewer=viewer, limit=MOST_IMAGES)
            found[viewer] = [image for image in (await repository.search(query)).items if image.request.hidden]
            assert found[viewer] == [image for image in images if image.request.hidden and matches(image, query)]
            for image in images:
                if can_see(image, viewer, author_of(image)):
                    assert await repository.get_visible(image.guid, viewer) == image
                else:
                    with pytest.raises(ImageNotFoundError):
                        await repository.get_visible(image.guid, viewer)
        assert found[None] == found["carol"] == []
        for staff in (viewer for viewer in VIEWERS if isinstance(viewer, Staff)):
            assert found[staff], staff

    async def test_hidden_images_follow_the_roster(
        self, storage: SearchStorage, repository: ImageRepository, users: UserRepository
    ) -> None:
        root, miller, smith = Staff("root", None), Staff("miller", "9a"), Staff("smith", "9b")
        image = await add_ready(repository, author="alice", prompt="duck", tags=("bath",))
        image = await repository.update(image.guid, ImageChanges(hidden=True), NOW)

        async def seen() -> list[bool]:
            """Return for each whether a list, searches, a page of the author and the GUID show it, all alike."""
            shown = []
            for viewer in (root, miller, smith, "alice", "bob", None):
                queries = [{}, {"terms": ("du",)}, {"tags": ("bath",)}, {"author": "alice"}, {"guid": image.guid}]
                found = [(await repository.search(ImageQuery(viewer=viewer, **one))).items for one in queries]
                try:
                    found.append((await repository.get_visible(image.guid, viewer),))
                except ImageNotFoundError:
                    found.append(())
                assert found in ([(image,)] * 6, [()] * 6), viewer
                shown.append(bool(found[0]))
            return shown

        assert await seen() == [True, True, False, True, False, False]
        await users.update("alice", {"class_key": "9b"})
        assert await seen() == [True, False, True, True, False, False]
        await users.update("alice", {"class_key": "9b "})
        assert await seen() == [True, False, False, True, False, False]
        await users.update("alice", {"class_key": "9a", "role": Role.TEACHER})
        assert await seen() == [True, False, False, True, False, False]
        await users.update("alice", {"role": Role.STUDENT})
        assert await seen() == [True, True, False, True, False, False]
        await users.remove("alice")
        assert await seen() == [True, False, False, True, False, False]
        await users.add(User("alice", "9b"), take_over=True)
        assert await seen() == [True, False, True, True, False, False]

    @pytest.mark.parametrize("author", ["alice", None])
    async def test_hidden_images_move_to_their_audiences(
        self, repository: ImageRepository, users: UserRepository, author: str | None
    ) -> None:
        root, miller = Staff("root", None), Staff("miller", "9a")
        await add_ready(repository)
        # A straggler, which a search for its time finds by a posting of its own.
        draft = make_draft(author=author, prompt="duck", tags=("bath",), created_at=NOW - timedelta(days=9))
        await repository.add(draft)

        async def change(**changes: Any) -> Image:
            return await repository.update(draft.guid, ImageChanges(**changes), NOW)

        async def finders(**values: Any) -> list[Viewer]:
            """Return the viewers who find the image by each of several filters, or else by none."""
            filters: list[dict[str, Any]] = [
                {"terms": ("duck",)},
                {"tags": ("bath",)},
                {"terms": ("duck",), "created_before": NOW - timedelta(days=8)},
                {"author": author} if author else {"guid": draft.guid},
            ]
            found = []
            for viewer in (None, "alice", "bob", root, miller):
                queries = [ImageQuery(viewer=viewer, **{**one, **values}) for one in filters]
                pages = [[one.guid for one in (await repository.search(query)).items] for query in queries]
                assert [page.count(draft.guid) for page in pages] in ([1] * 4, [0] * 4), viewer
                if draft.guid in pages[0]:
                    found.append(viewer)
            return found

        own: list[Viewer] = ["alice"] if author else []
        concerned = [*own, root, miller] if author else [root]
        assert (await change(hidden=True)).request.hidden
        assert await finders() == []
        assert await finders(status=Status.GENERATING) == own
        assert (await repository.mark_ready(draft.guid, make_result(), NOW)).request.hidden
        assert await finders() == concerned
        assert await finders(visibility=Visibility.PRIVATE) == []
        assert await finders(visibility=Visibility.PUBLIC) == concerned
        await change(tags=("towel", "bath"))
        assert await finders() == concerned
        assert await finders(tags=("towel",)) == concerned
        if author:
            changed = await change(visibility=Visibility.PRIVATE)
            assert (changed.request.hidden, changed.request.is_public) == (True, False)
            assert await finders() == own
            assert await finders(visibility=Visibility.PRIVATE) == own
            assert not (await change(visibility=Visibility.PUBLIC)).request.is_public
            assert await finders() == concerned
        assert (await change(hidden=False)).request.is_public
        assert await finders() == [None, "alice", "bob", root, miller]
        await change(hidden=True)
        assert await finders() == concerned
        await repository.delete(draft.guid)
        assert await finders() == []

    async def test_a_restored_image_is_still_hidden(
        self, storage: SearchStorage, repository: ImageRepository, users: UserRepository
    ) -> None:
        maintenance = storage.maintenance()
        await maintenance.open()
        image = await add_ready(repository, author="alice", prompt="duck")
        hidden = alter(image, guid=new_guid(), hidden=True)
        assert await maintenance.restore(hidden)
        await maintenance.close()
        for viewer, found in ((None, False), ("alice", True), (Staff("miller", "9a"), True), (Staff("x", "9b"), False)):
            page = await repository.search(ImageQuery(viewer=viewer, terms=("duck",)))
            assert (hidden.guid in [one.guid for one in page.items]) is found

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
        end=st.integers(0, 2 * MOST_IMAGES),
    )
    async def test_any_filters_between_any_ids(
        self, frugal: ImageRepository, images: list[Image], names: set[str], seed: int, limit: int, start: int, end: int
    ) -> None:
        draw = random.Random(seed)
        values = {name: VALUES[name](draw, images) for name in sorted(names)}
        before = images[start].id if start < len(images) else None
        after = images[end].id if end < len(images) else None
        query = ImageQuery(limit=limit, before_id=before, after_id=after, **values)
        between = images[0 if before is None else start + 1 : end]
        assert (await follow(frugal, query))[0] == [image for image in between if matches(image, query)]

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
