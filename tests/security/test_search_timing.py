"""The work of a search tells nothing about images that its viewer may not see, counted in rows and instructions."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.adapters.sql.repositories.maintenance_repository import SQLMaintenanceRepository
from pixyproxy.adapters.sql.search.bounds import DEFAULT, Bounds
from pixyproxy.adapters.sql.search.page import search
from pixyproxy.domain.image import Failure, Image, ImageChanges, Status, Visibility, new_guid
from pixyproxy.domain.query import ImageQuery
from tests.fixtures.images import NOW, make_draft, make_image, make_result
from tests.fixtures.sql.bounds import TIGHT
from tests.fixtures.sql.counting import Counter

PUBLIC_SOURCE, SECRET_SOURCE = new_guid(), new_guid()
SECRET = {
    "prompt": "a secret surprise for carol",
    "filename": "secret.png",
    "tags": ("bath", "hidden"),
    "author": "alice",
    "derived_from": (PUBLIC_SOURCE, SECRET_SOURCE),
}
DAY = timedelta(days=1)


@pytest.fixture
async def images(counter: Counter) -> AsyncIterator[SQLImageRepository]:
    """Yield a repository with some public images, one of them a straggler, and private ones like none of the others.

    These are at both ends of each index, where a search takes some instructions less.
    """
    repository = SQLImageRepository(counter.database())
    await repository.open()
    quiet = [
        make_image(guid=new_guid(), prompt="quiet", author=author, visibility=Visibility.PRIVATE)
        for author in ("aaron", "abe", "zoe")
    ]
    await restore(counter, [*(public(i) for i in range(40)), *quiet])
    yield repository
    await repository.close()


def public(number: int) -> Image:
    at = NOW + (number - 7 * (number == 20)) * DAY
    return make_image(
        guid=new_guid(),
        prompt=f"a duck {number} selling sinks",
        tags=("bath",),
        author=("bob", "alice")[number % 2],
        derived_from=(PUBLIC_SOURCE,),
        created_at=at,
    )


def hidden(number: int) -> Image:
    """Return an image that strangers may not see; it may be a straggler, and newer or older than all others."""
    at = NOW + timedelta(hours=(number * 37) % 2400 - 600)
    private = make_image(guid=new_guid(), **SECRET, visibility=Visibility.PRIVATE, created_at=at)
    if number % 3 == 0:
        return private
    failure = replace(private, status=(Status.FAILED, Status.GENERATING)[number % 2], result=None)
    author = "alice" if number % 4 else None
    return replace(failure, request=replace(private.request, author=author, visibility=Visibility.PUBLIC))


async def restore(counter: Counter, added: Sequence[Image]) -> None:
    maintenance = SQLMaintenanceRepository(counter.database())
    await maintenance.open()
    for start in range(0, len(added), 500):
        assert all(await maintenance.restore_all(added[start : start + 500]))
    await maintenance.close()


def queries(guid: str) -> dict[str, ImageQuery]:
    """Return queries of strangers that the hidden images match in every way that there is."""
    filters = {
        "word": {"terms": ("secret",)},
        "prefix": {"terms": ("se",)},
        "prefix of public words too": {"terms": ("s",)},
        "common word and word": {"terms": ("duck", "secret")},
        "five words": {"terms": ("a", "s", "f", "c", "secret")},
        "tag": {"tags": ("hidden",)},
        "tag of public images too": {"tags": ("bath",)},
        "source": {"derived_from": SECRET_SOURCE},
        "source of public images too": {"derived_from": PUBLIC_SOURCE},
        "guid": {"guid": guid},
        "guid and word": {"guid": guid, "terms": ("secret",)},
        "author": {"author": "alice"},
        "author and word": {"author": "alice", "terms": ("se",)},
        "file name": {"filename": "secret"},
        "made before": {"created_before": NOW + 10 * DAY},
        "made before all public ones": {"created_before": NOW - 20 * DAY},
        "made after": {"created_after": NOW + 10 * DAY},
        "made after all public ones": {"created_after": NOW + 50 * DAY},
        "made between": {"created_after": NOW + 5 * DAY, "created_before": NOW + 9 * DAY},
        "word, made between": {"terms": ("s",), "created_after": NOW, "created_before": NOW + 20 * DAY},
        "private": {"visibility": Visibility.PRIVATE},
        "private, word": {"visibility": Visibility.PRIVATE, "terms": ("secret",)},
        "generating": {"status": Status.GENERATING},
        "failed, word": {"status": Status.FAILED, "terms": ("secret",)},
        "all": {},
    }
    return {
        f"{name}, {viewer}": ImageQuery(viewer=viewer, limit=limit, **values)
        for name, values in filters.items()
        for viewer, limit in ((None, 3), ("bob", 50))
    }


def work(counter: Counter, guid: str, bounds: Bounds) -> dict[str, tuple[int, int]]:
    """Return for each query what is read, and how many images were found."""
    found = {}
    for name, query in queries(guid).items():
        pages = []
        read = counter.count(lambda session, query=query, pages=pages: pages.append(search(session, query, bounds)))
        found[name] = (read, len(pages[-1].items))
    return found


@pytest.mark.parametrize("bounds", [DEFAULT, TIGHT], ids=["default", "tight"])
async def test_hidden_images_cost_strangers_nothing(
    counter: Counter, images: SQLImageRepository, bounds: Bounds
) -> None:
    none = work(counter, new_guid(), bounds)
    one = hidden(0)
    await restore(counter, [one])
    assert work(counter, one.guid, bounds) == none
    many = [hidden(number) for number in range(1, 1000)]
    await restore(counter, many)
    assert work(counter, many[2].guid, bounds) == none


async def test_authors_find_their_own_hidden_images(counter: Counter, images: SQLImageRepository) -> None:
    await restore(counter, [hidden(number) for number in range(200)])
    for name, query in queries(new_guid()).items():
        page = await images.search(replace(query, viewer="alice", guid=None, limit=200))
        found = any(image.request.prompt == SECRET["prompt"] for image in page.items)
        assert found is not name.startswith("common word"), name


class Stranger:
    """Counts the work of a search for the word of one image, and finds it or not."""

    def __init__(self, counter: Counter, guid: str) -> None:
        self.counter = counter
        self.query = ImageQuery(viewer="bob", terms=("secret",))
        self.nothing = self.read()

    def read(self) -> int:
        return self.counter.count(lambda session: search(session, self.query, DEFAULT))


async def test_audience_follows_the_image(counter: Counter, images: SQLImageRepository) -> None:
    """From its beginning to its end, its words cost strangers something while they may see it, and only then."""
    for author in ("alice", None):
        draft = make_draft(**SECRET | {"author": author}, created_at=NOW - 9 * DAY)  # a straggler
        stranger = Stranger(counter, draft.guid)
        own = replace(stranger.query, viewer="alice")
        await images.add(draft)
        assert stranger.read() == stranger.nothing
        if author:
            assert (await images.search(replace(own, status=Status.GENERATING))).items
        await images.mark_failed(draft.guid, Status.UNKNOWN, Failure("x", "y"), NOW)
        assert stranger.read() == stranger.nothing
        await images.mark_ready(draft.guid, make_result(), NOW)
        assert stranger.read() > stranger.nothing
        assert (await images.search(replace(stranger.query, created_before=NOW - 8 * DAY))).items
        await images.update(draft.guid, ImageChanges(visibility=Visibility.PRIVATE), NOW)
        assert stranger.read() == stranger.nothing
        if author:
            assert (await images.search(replace(own, created_before=NOW - 8 * DAY))).items
        changes = ImageChanges(visibility=Visibility.PUBLIC, tags=("towel",))
        await images.update(draft.guid, changes, NOW)
        assert stranger.read() > stranger.nothing
        assert (await images.search(replace(stranger.query, tags=("towel",)))).items
        assert not (await images.search(replace(stranger.query, tags=("hidden",)))).items
        await images.delete(draft.guid)
        assert stranger.read() == stranger.nothing
