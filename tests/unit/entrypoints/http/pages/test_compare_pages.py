"""Two pictures side by side, as HTML, and the comparison itself."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pixyproxy.entrypoints.http.pages.comparing.comparison import Piece, compare_pictures, mark_words
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app

HTML = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


async def test_differences_are_marked(app: HttpApp) -> None:
    first = await app.create(prompt="a <b>red</b> duck", size="1024x1024", quality="low")
    second = await app.create(prompt="a blue duck", size="1024x1024")
    page = (await app.client.get(f"/compare?a={first['guid']}&b={second['guid']}", headers=HTML)).text
    assert re.findall(r'<img src="/image/([0-9a-f-]+)/content', page) == [first["guid"], second["guid"]]
    assert "<mark>&lt;b&gt;red&lt;/b&gt;</mark> duck" in page
    assert "<mark>blue</mark> duck" in page
    marked = re.findall(r'class="differs">\s*<tr><th[^>]*><bdi>([^<]+)</bdi>', page)
    assert marked == ["Prompt", "quality"]
    assert f'/compare?a={second["guid"]}&amp;b={first["guid"]}">Swap' in page


async def test_the_second_is_chosen_among_relatives_and_by_search(app: HttpApp) -> None:
    source, other = await app.create(prompt="a fox"), await app.create(prompt="a badger")
    edit = await app.create(prompt="an edit", edit_of=source["guid"])

    async def chosen(query: str = "") -> list[str]:
        page = (await app.client.get(f"/compare?a={source['guid']}{query}", headers=HTML)).text
        return re.findall(rf"/compare\?a={source['guid']}&amp;b=([0-9a-f-]+)", page)

    assert await chosen() == [edit["guid"], edit["guid"], other["guid"]]
    assert await chosen("&prompt=badger") == [other["guid"]]
    for _ in range(25):
        await app.create()
    page = (await app.client.get(f"/compare?a={source['guid']}", headers=HTML)).text
    [older] = re.findall(r'rel="next" href="([^"]+)"', page)
    assert other["guid"] in (await app.client.get(older.replace("&amp;", "&"), headers=HTML)).text
    page = (await app.client.get(f"/view/{edit['guid']}", headers=HTML)).text
    assert f'/compare?a={source["guid"]}&amp;b={edit["guid"]}">compare' in page


@pytest.mark.parametrize("second", ["", "&b={public}", "&b={private}"])
async def test_a_stranger_sees_no_private_picture(app: HttpApp, second: str) -> None:
    made = {name: (await app.create(visibility=name, prompt=f"a {name} one"))["guid"] for name in ("public", "private")}
    for first in ("public", "private"):
        path = f"/compare?a={made[first]}{second.format(**made)}"
        hidden = "private" in (first, second[4:-1])
        for auth in (None, BOB, ALICE):
            page = await app.client.get(path, headers=HTML, auth=basic(auth))
            assert page.status_code == (404 if hidden and auth is not ALICE else 200)
            assert ("a private one" in page.text) is (auth is ALICE and (hidden or not second))


async def test_what_cannot_be_compared_is_refused(app: HttpApp) -> None:
    made = await app.create()
    guid = made["guid"]
    for query, status in (
        ("", 422),
        ("a=", 422),
        (f"a={MISSING}", 404),
        ("a=x", 404),
        (f"a={guid}&b=x", 404),
        (f"a={guid}&a={guid}", 422),
        (f"a={guid}&colour=red", 422),
        (f"a={guid}&cursor=x", 422),
    ):
        assert (await app.client.get(f"/compare?{query}", headers=HTML)).status_code == status, query
    async with http_app(PIXYPROXY_ANONYMOUS="none") as closed:
        response = await closed.client.get(f"/compare?a={MISSING}", headers=HTML)
        assert response.headers["location"] == f"/login?next=%2Fcompare%3Fa%3D{MISSING}"


def test_words_are_marked_where_they_differ() -> None:
    assert mark_words("a red  duck", "a duck") == (
        [Piece("a ", False), Piece("red", True), Piece("  ", False), Piece("duck", False)],
        [Piece("a ", False), Piece("duck", False)],
    )
    assert mark_words("same", "same") == ([Piece("same", False)], [Piece("same", False)])
    assert mark_words("a\nduck", " a duck") == (
        [Piece("a\nduck", False)],
        [Piece(" ", False), Piece("a duck", False)],
    )
    assert mark_words("a fox", "three owls") == ([Piece("a fox", False)], [Piece("three owls", False)])
    assert mark_words("", "new") == ([Piece("", False)], [Piece("new", False)])
    long = "word " * 1000
    assert mark_words(long, "other") == ([Piece(long, False)], [Piece("other", False)])


def test_rows_are_those_that_a_picture_has() -> None:
    picture: dict[str, Any] = {
        "prompt": "a duck", "revised_prompt": None, "model": None, "parameters": {}, "width": None, "author": None,
        "created": "1 Nov 2026", "cost_text": "", "format": "", "size_text": "",
    }  # fmt: skip
    other = {**picture, "parameters": {"n": 2, "seed": None}, "width": 64, "height": 32, "author": "alice"}
    rows = {row.name: row for row in compare_pictures(picture, other)}
    assert list(rows) == ["Prompt", "n", "Pixels", "Made by", "Made on"]
    assert [name for name, row in rows.items() if row.differs] == ["n", "Pixels"]
    assert [piece.text for piece in rows["Pixels"].second] == ["64 × 32"]
