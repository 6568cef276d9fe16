"""The form that has pictures made."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from pixyproxy.domain.errors import PromptRejectedError
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app

HTML = {"Accept": "text/html", "Origin": "http://test.example"}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app(PIXYPROXY_CORS_ORIGINS="https://listed.example") as app:
        yield app


async def create(app: HttpApp, auth: tuple[str, str] | None = ALICE, **fields: str) -> httpx.Response:
    return await app.client.post("/create", data=fields, headers=HTML, auth=basic(auth))


async def test_a_picture_is_made_and_shown(app: HttpApp) -> None:
    response = await create(
        app, prompt="a duck\r\non a sink", size="1536x1024", quality="", tags="#Sea, two words,,", visibility="private"
    )
    assert response.status_code == 303
    guid = response.headers["location"].removeprefix("/view/")
    found = (await app.client.get(f"/image/{guid}", auth=basic(ALICE))).json()
    assert (found["prompt"], found["tags"], found["visibility"]) == (
        "a duck\non a sink",
        ["sea", "two words"],
        "private",
    )
    assert found["parameters"] == {"size": "1536x1024"}
    assert found["author"] == "alice"


async def test_a_form_that_is_sent_twice_makes_one_picture(app: HttpApp) -> None:
    page = (await app.client.get("/", headers=HTML, auth=basic(ALICE))).text
    [key] = re.findall(r'name="key" value="([^"]+)"', page)
    first, second = [await create(app, prompt="a duck", key=key) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    assert len(app.generator.requests) == 1
    other = await create(app, prompt="a goose", key=key)
    assert other.status_code == 422
    assert "a goose" in other.text


async def test_several_pictures_lead_to_the_gallery(app: HttpApp) -> None:
    response = await create(app, prompt="a duck", n="3")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    await app.container.generation_runner().drain(60)  # the page does not wait for its pictures
    assert len((await app.client.get("/image", auth=basic(ALICE))).json()) == 3
    app.container.generation_runner().draining = False
    for n in ("0", "5", "x", "-1", "10", "²"):
        response = await create(app, prompt="a duck", n=n)
        assert response.status_code == 422
        assert "from 1 to 4" in response.text


async def test_what_was_typed_is_not_lost(app: HttpApp) -> None:
    for fields, problem in (
        ({"prompt": "  "}, "must not be blank"),
        ({"prompt": "a <b>duck</b>", "tags": "x" * 65}, "64 characters"),
        ({"prompt": "a <b>duck</b>", "edit_of": MISSING}, "There is no"),
    ):
        response = await create(app, **fields)
        assert response.status_code in {404, 422}
        assert problem in response.text
        assert fields["prompt"].replace("<", "&lt;").replace(">", "&gt;") in response.text
        assert '<textarea name="prompt"' in response.text
    assert app.generator.requests == []


async def test_a_refusal_is_shown_with_the_generators_reason(app: HttpApp) -> None:
    app.generator.outcome = PromptRejectedError("No ducks today.")
    response = await create(app, prompt="a duck")
    page = await app.client.get(response.headers["location"], headers=HTML, auth=basic(ALICE))
    for _ in range(100):
        if "No ducks today." in page.text:
            break
        page = await app.client.get(response.headers["location"], headers=HTML, auth=basic(ALICE))
    guid = response.headers["location"].removeprefix("/view/")
    assert f'href="/?use={guid}">Edit the prompt' in page.text
    again = await app.client.get(f"/?use={guid}", headers=HTML, auth=basic(ALICE))
    assert re.search(r"<textarea[^>]*>\na duck</textarea>", again.text)


async def test_the_form_takes_over_what_the_viewer_may_see(app: HttpApp) -> None:
    source = await app.create(prompt="the source")
    secret = await app.create(visibility="private", prompt="a secret")
    page = (await app.client.get(f"/?edit={source['guid']}&edit={secret['guid']}&edit=x", headers=HTML)).text
    assert re.findall(r'name="edit_of" value="([^"]+)"', page) == [source["guid"]]
    assert "a secret" not in (await app.client.get(f"/?use={secret['guid']}", headers=HTML, auth=basic(BOB))).text
    page = (await app.client.get(f"/?use={secret['guid']}", headers=HTML, auth=basic(ALICE))).text
    assert '<option value="private" selected>' in page
    response = await create(app, prompt="an edit", edit_of=source["guid"])
    guid = response.headers["location"].removeprefix("/view/")
    assert (await app.client.get(f"/image/{guid}")).json()["derived_from"] == [source["guid"]]


async def test_a_generator_that_cannot_edit_offers_no_edit(app: HttpApp) -> None:
    made = await app.create()
    for edits in (True, False):
        app.generator.edits = edits
        page = await app.client.get(f"/view/{made['guid']}", headers=HTML, auth=basic(ALICE))
        assert (f"/?edit={made['guid']}" in page.text) is edits


async def test_other_origins_and_strangers_make_nothing(app: HttpApp) -> None:
    for headers in ({"Origin": "https://listed.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        response = await app.client.post("/create", data={"prompt": "a duck"}, headers=headers, auth=basic(ALICE))
        assert (response.status_code, response.json()["code"]) == (403, "cross-site")
    assert app.generator.requests == []
    async with http_app(PIXYPROXY_ANONYMOUS="read") as reading:
        assert 'id="make"' not in (await reading.client.get("/", headers=HTML)).text
        assert 'id="make"' in (await reading.client.get("/", headers=HTML, auth=basic(ALICE))).text
        response = await reading.client.post("/create", data={"prompt": "a duck"}, headers=HTML)
        assert response.status_code == 401
        assert reading.generator.requests == []
