"""The gallery and the page of one picture, as HTML."""

import asyncio
import gzip
import math
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pixyproxy.domain.user import Role, User
from pixyproxy.entrypoints.http.pages import static_files
from pixyproxy.entrypoints.http.pages.filters import address_of, chips_of, is_filtered, search_of
from pixyproxy.entrypoints.http.pages.picture import ratio_class, shortened
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app

HTML = {"Accept": "text/html,*/*;q=0.8"}
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        yield app


def guids(html: str) -> list[str]:
    return re.findall(r'data-guid="([^"]+)"', html)


async def test_the_gallery_lists_what_the_viewer_may_see_newest_first(app: HttpApp) -> None:
    public, secret = await app.create(), await app.create(visibility="private", prompt="a secret")
    for auth, found in ((None, [public]), (BOB, [public]), (ALICE, [secret, public])):
        page = await app.client.get("/", headers=HTML, auth=basic(auth))
        assert page.status_code == 200
        assert guids(page.text) == [picture["guid"] for picture in found]
        assert ("a secret" in page.text) is (secret in found)
        assert page.headers["cache-control"] == ("no-cache" if auth is None else "private, no-store")


async def test_pages_have_addresses(app: HttpApp) -> None:
    made = [(await app.create(tags=["a b"]))["guid"] for _ in range(5)]
    address, found = "/?tag=a+b&limit=2", []
    for _ in range(3):
        page = (await app.client.get(address, headers=HTML)).text
        found += guids(page)
        address = "".join(re.findall(r'rel="next" id="next" href="([^"]+)"', page)).replace("&amp;", "&")
    assert (found, address) == (made[::-1], "")
    assert 'href="/?tag=a+b&amp;limit=2">Newest pictures' in page


async def test_mine_is_the_author_who_is_logged_in(app: HttpApp) -> None:
    await app.create(auth=BOB)
    own = await app.create()
    page = await app.client.get("/?mine=1", headers=HTML, auth=basic(ALICE))
    assert guids(page.text) == [own["guid"]]
    stranger = await app.client.get("/?mine=1&tag=a", headers=HTML)
    assert (stranger.status_code, stranger.headers["location"]) == (303, "/login?next=%2F%3Fmine%3D1%26tag%3Da")


async def test_a_search_that_cannot_be_done_says_why(app: HttpApp) -> None:
    for query, problem in (
        ("prompt=" + "+".join(map(str, range(65))), "at most 64 different words"),
        ("colour=red", "is not known here"),
        ("cursor=x", "There is no such page"),
    ):
        page = await app.client.get(f"/?{query}", headers=HTML)
        assert page.status_code == 422
        assert problem in page.text
        assert 'role="alert"' in page.text
    assert (await app.client.get("/?prompt=a&prompt=b", headers=HTML)).status_code == 422
    assert (await app.client.get("/?prompt=+&tag=&author=", headers=HTML)).status_code == 200


async def test_who_may_not_read_is_sent_to_the_login() -> None:
    async with http_app(PIXYPROXY_ANONYMOUS="none") as app:
        made = await app.create()
        for path in ("/", f"/view/{made['guid']}", f"/view/{MISSING}"):
            response = await app.client.get(path, headers=HTML)
            assert (response.status_code, response.headers["location"][:12]) == (303, "/login?next=")
        assert (await app.client.get("/", headers=HTML, auth=basic(ALICE))).status_code == 200
        page = await app.client.get(f"/view/{made['guid']}", headers=HTML, auth=basic(ALICE))
        assert "og:title" not in page.text


async def test_programs_that_want_json_are_sent_to_the_documentation(app: HttpApp) -> None:
    response = await app.client.get("/", headers={"Accept": "application/json"})
    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    assert (await app.client.get("/")).headers["content-type"] == "text/html; charset=utf-8"


async def test_one_picture_shows_where_it_comes_from(app: HttpApp) -> None:
    source, secret = await app.create(prompt="the source"), await app.create(visibility="private", prompt="a secret")
    edit = await app.create(prompt="an edit", edit_of=[source["guid"], secret["guid"]])
    for auth, sources in ((ALICE, [source, secret]), (None, [source])):
        page = (await app.client.get(f"/view/{edit['guid']}", headers=HTML, auth=basic(auth))).text
        strip = page.partition("Made from")[2]
        assert re.findall(r'href="/view/([^"]+)"', strip) == [picture["guid"] for picture in sources]
        assert ("a secret" in page) is (secret in sources)
    page = (await app.client.get(f"/view/{source['guid']}", headers=HTML)).text
    assert f'href="/view/{edit["guid"]}"' in page.partition("Made into")[2]


async def test_one_picture_leads_on_within_the_search(app: HttpApp) -> None:
    first, _, last = [await app.create(prompt=prompt) for prompt in ("a fox", "a duck", "a fox")]
    page = (await app.client.get(f"/view/{last['guid']}?prompt=fox", headers=HTML)).text
    assert f'href="/view/{first["guid"]}?prompt=fox"' in page
    assert 'href="/?prompt=fox" aria-label="Back' in page
    for query in ("colour=red", "created_before=x"):
        assert (await app.client.get(f"/view/{last['guid']}?{query}", headers=HTML)).status_code == 200


async def test_the_button_that_hides_is_for_the_staff_concerned(app: HttpApp) -> None:
    people = [("tina", "cs101", Role.TEACHER), ("smith", "cs102", Role.TEACHER), ("root", None, Role.ADMIN)]
    await app.add_people(people, "a good long password")
    public, secret = await app.create(), await app.create(visibility="private")
    for name, expected in (("tina", True), ("smith", False), ("root", True)):
        auth = name, "a good long password"
        page = await app.client.get(f"/view/{public['guid']}", headers=HTML, auth=basic(auth))
        assert ('value="hide"' in page.text) is expected
    for path in (public, secret):
        page = await app.client.get(f"/view/{path['guid']}", headers=HTML, auth=basic(ALICE))
        assert 'value="hide"' not in page.text
    auth = "tina", "a good long password"
    await app.client.patch(f"/image/{public['guid']}", json={"hidden": True}, auth=basic(auth))
    page = await app.client.get(f"/view/{public['guid']}", headers=HTML, auth=basic(auth))
    assert 'value="show"' in page.text


async def test_only_public_pictures_describe_themselves_to_other_sites(app: HttpApp) -> None:
    for visibility in ("public", "private"):
        made = await app.create(prompt='a "duck" & <b>', visibility=visibility)
        page = (await app.client.get(f"/view/{made['guid']}", headers=HTML, auth=basic(ALICE))).text
        assert ("og:" in page) is (visibility == "public")
        assert ("noindex" in page) is (visibility == "private")
        if visibility == "public":
            assert 'property="og:title" content="a &#34;duck&#34; &amp; &lt;b&gt;"' in page
            assert f'content="http://test.example/image/{made["guid"]}/thumbnail?size=1024"' in page


async def test_a_signed_link_opens_a_private_picture(app: HttpApp) -> None:
    made = await app.create(visibility="private")
    path = f"/view/{made['guid']}/link"
    assert (await app.client.post(path)).status_code == 401
    assert (await app.client.post(path, auth=basic(BOB))).status_code == 404
    public = await app.create()
    assert (await app.client.post(f"/view/{public['guid']}/link", auth=basic(BOB))).status_code == 403
    cross = await app.client.post(path, auth=basic(ALICE), headers={"Sec-Fetch-Site": "cross-site"})
    assert cross.status_code == 403
    link = (await app.client.post(path, auth=basic(ALICE))).json()
    assert (await app.client.get(link["url"])).status_code == 200
    assert (await app.client.get(link["url"].partition("?")[0])).status_code == 404
    assert link["until"].endswith("Z")


async def test_the_page_of_a_picture_that_waits_looks_again() -> None:
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        for status, words in (("generating", "Being made"), ("queued", "1st in line")):
            made = await app.client.post(
                "/image", json={"prompt": "a duck"}, headers={"Prefer": "respond-async"}, auth=basic(ALICE)
            )
            assert made.json()["status"] == status
            page = await app.client.get(f"/view/{made.json()['guid']}", headers=HTML, auth=basic(ALICE))
            assert '<noscript><meta http-equiv="refresh"' in page.text
            assert words in page.text
            # What has begun is paid for, and is not deleted by a click.
            assert ('data-action="cancel"' in page.text) is (status == "queued")
            assert 'data-action="delete"' not in page.text
        app.generator.gate.set()
        while "refresh" in page.text:
            await asyncio.sleep(0.01)
            page = await app.client.get(f"/view/{made.json()['guid']}", headers=HTML, auth=basic(ALICE))
        assert 'data-action="delete"' in page.text


async def test_own_pictures_under_way_are_on_the_first_page_of_all_and_of_the_own() -> None:
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        made = []
        for auth in (ALICE, ALICE, BOB, None):
            body = {"prompt": f"duck {len(made)}"}
            answer = await app.client.post("/image", json=body, headers={"Prefer": "respond-async"}, auth=basic(auth))
            made.append(answer.json()["guid"])

        async def shown(path: str, auth: tuple[str, str] | None) -> list[str]:
            return guids((await app.client.get(path, headers=HTML, auth=basic(auth))).text)

        for path in ("/", "/?mine=1", "/?limit=5"):
            assert await shown(path, ALICE) == [made[1], made[0]]
        assert await shown("/", BOB) == [made[2]]
        assert await shown("/", None) == []
        for path in ("/?prompt=duck", "/?mine=1&visibility=private", "/?tag=a", f"/?guid={made[0]}"):
            assert await shown(path, ALICE) == []
        app.generator.gate.set()
        while len((await app.client.get("/image")).json()) < len(made):
            await asyncio.sleep(0.01)
        assert sorted(await shown("/", ALICE)) == sorted(made)


async def test_the_form_cancels_what_waits_and_nothing_that_was_begun() -> None:
    form = {"Accept": "text/html", "Origin": "http://test.example", "Content-Type": "application/x-www-form-urlencoded"}
    async with http_app(PIXYPROXY_MAX_GENERATIONS=1, PIXYPROXY_QUEUE_TIMEOUT_S=60) as app:
        app.generator.gate = asyncio.Event()
        begun, waiting = [
            (
                await app.client.post(
                    "/image", json={"prompt": "a duck"}, headers={"Prefer": "respond-async"}, auth=basic(ALICE)
                )
            ).json()["guid"]
            for _ in range(2)
        ]
        for guid, auth, origin, status, location in (
            (waiting, None, None, 401, None),
            (waiting, BOB, None, 403, None),
            (waiting, ALICE, "https://evil.example", 403, None),
            (MISSING, ALICE, None, 404, None),
            (begun, ALICE, None, 303, f"/view/{begun}"),
            (waiting, ALICE, None, 303, "/"),
        ):
            headers = {**form, "Origin": origin or form["Origin"]}
            response = await app.client.post(f"/view/{guid}/cancel", headers=headers, auth=basic(auth))
            assert (response.status_code, response.headers.get("location")) == (status, location)
        assert (await app.client.get(f"/image/{begun}", auth=basic(ALICE))).json()["status"] == "generating"
        assert (await app.client.get(f"/image/{waiting}", auth=basic(ALICE))).status_code == 404
        app.generator.gate.set()
        await app.container.generation_runner().drain(60)


def test_all_files_of_the_page_stay_small() -> None:
    files = [static_files.FOLDER, static_files.FOLDER.with_name("templates")]
    packed = [len(gzip.compress(path.read_bytes())) for folder in files for path in folder.iterdir()]
    assert sum(packed) < 80_000


@pytest.mark.parametrize(
    ("width", "height"), [(1024, 1024), (1536, 1024), (1024, 1792), (333, 1000), (1, 10_000), (10_000, 1)]
)
def test_ratios_have_a_class(width: int, height: int) -> None:
    rules = dict(re.findall(r"\.(r_?\d+)\{--r:([\d.]+)\}", (static_files.FOLDER / "ratios.css").read_text()))
    assert len(rules) == 101
    ratio = min(4, max(0.25, width / height))
    assert math.isclose(float(rules[ratio_class(width, height)]), ratio, rel_tol=0.015)


def test_filters_change_the_address() -> None:
    alice = User("alice")
    query = {"prompt": "a b", "tag": ["x", "y"], "mine": "1", "cursor": "c", "created_after": "2026-11-23"}
    assert address_of(query) == "/?prompt=a+b&tag=x&tag=y&mine=1&created_after=2026-11-23"
    assert search_of(query, alice) == {**{k: v for k, v in query.items() if k != "mine"}, "author": "alice"}
    whose, which, spans = chips_of(query, alice, ["z", "x", "z"], ["a", "a"], NOW)
    assert [(chip.label, chip.is_on) for chip in whose] == [("Everybody", False), ("Mine", True), ("Private", False)]
    assert [(chip.label, chip.is_on) for chip in which] == [("#x", True), ("#y", True), ("#z", False)]
    assert which[0].query == "/?prompt=a+b&tag=y&mine=1&created_after=2026-11-23"
    assert [(chip.label, chip.is_on) for chip in spans] == [
        ("Today", False),
        ("This week", True),
        ("This month", False),
    ]
    assert "created_after" not in spans[1].query
    others = chips_of(
        {"created_after": "2020-01-01", "created_before": "2021-01-01", "author": "bob"}, None, [], [], NOW
    )
    assert [chip.label for chip in [*others[1], *others[2]]][:3] == ["by bob", "until 2021-01-01", "since 2020-01-01"]
    assert [chip.label for chip in others[0]] == ["Everybody"]
    by_model = chips_of({"model": "gpt-image-2"}, None, [], ["gpt-image-2"], NOW)[1][0]
    assert (by_model.label, by_model.is_on, by_model.query) == ("gpt-image-2", True, "/")
    models = chips_of({"mine": "1"}, None, [], ["a", "b", "b"], NOW)[1]
    assert [(chip.label, chip.is_on, chip.query) for chip in models] == [
        ("b", False, "/?mine=1&model=b"),
        ("a", False, "/?mine=1&model=a"),
    ]
    assert not is_filtered({"cursor": "c", "limit": 2})
    assert is_filtered({"tag": ["x"]})


def test_texts_are_shortened() -> None:
    assert [shortened(text, 5) for text in ("", "abcde", "abcdef", "abc def")] == ["", "abcde", "abcd…", "abc…"]


def test_no_file_of_the_page_has_an_address_of_elsewhere() -> None:
    for folder in (static_files.FOLDER, static_files.FOLDER.with_name("templates")):
        for path in sorted(Path(folder).iterdir()):
            assert not re.search(r"(?<!xmlns=\")https?://", path.read_text()), path.name
