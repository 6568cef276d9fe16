"""Searches for images: the images beside one in a list."""

import random
from dataclasses import replace

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.application.images.cursors import Cursors
from pixyproxy.application.images.image_search import ImageSearch
from pixyproxy.domain.image import Image
from pixyproxy.domain.query import ImageQuery, Page
from tests.fixtures.images import make_draft, make_image, make_result


class Numbered(MemoryImageRepository):
    """Images with the given ids; `searches` counts the searches."""

    def __init__(self, ids: list[int]) -> None:
        super().__init__()
        image = make_image()
        self.matches = [replace(image, id=number) for number in sorted(ids, reverse=True)]
        self.searches = 0

    async def search(self, query: ImageQuery) -> Page:
        self.searches += 1
        before, after = query.before_id or 10**18, query.after_id or 0
        found = [image for image in self.matches if after < image.id < before]
        items = tuple(found[: query.limit])
        return Page(items, items[-1].id if len(found) > query.limit else None)


async def add(repository: MemoryImageRepository, prompt: str) -> Image:
    draft = make_draft(prompt=prompt)
    await repository.add(draft)
    return await repository.mark_ready(draft.guid, make_result(), draft.request.created_at)


async def beside(repository: Numbered, number: int) -> tuple[int | None, int | None]:
    search = ImageSearch(repository, Cursors(lambda: b"a secret"), max_page_bytes=1024)
    newer, older = await search.beside(None, {"prompt": "duck"}, make_image(id=number))
    return newer and newer.id, older and older.id


@pytest.mark.parametrize("span", [10, 1000, 10**6, 10**12])
@pytest.mark.parametrize("count", [1, 2, 30, 1000])
async def test_the_neighbours_are_found_however_far_and_many_they_are(span: int, count: int) -> None:
    draw = random.Random(f"{span} {count}")
    for _ in range(10):
        first = draw.randrange(1, span + 1)
        ids = sorted({*(draw.randrange(first, 2 * span + 1) for _ in range(count)), first})
        place = draw.randrange(len(ids))
        repository = Numbered(ids)
        newer = ids[place + 1] if place + 1 < len(ids) else None
        older = ids[place - 1] if place > 0 else None
        assert await beside(repository, ids[place]) == (newer, older)
        assert repository.searches < 100


async def test_one_search_finds_that_there_is_nothing_newer() -> None:
    repository = Numbered([1, 2])
    assert await beside(repository, 2) == (None, 1)
    assert repository.searches == 2


async def between(count: int) -> tuple[ImageSearch, Image, Image]:
    """Return two matches with so many other images between them, three of which a page examines."""
    repository = MemoryImageRepository(examined=3)
    first, *_, last = [await add(repository, f"a {word}") for word in ("duck", *["goose"] * count, "duck")]
    return ImageSearch(repository, Cursors(lambda: b"a secret"), max_page_bytes=1024), first, last


async def test_pages_that_are_empty_are_not_the_end() -> None:
    search, first, last = await between(45)
    assert await search.beside(None, {"prompt": "duck"}, first) == (last, None)
    assert await search.beside(None, {"prompt": "duck"}, last) == (None, first)


async def test_a_neighbour_that_is_too_far_away_is_not_looked_for_among_all_images() -> None:
    search, _, last = await between(300)
    assert await search.beside(None, {"prompt": "duck"}, last) == (None, None)
