"""The form that has pictures made."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.errors import CapacityExceededError, DBConnectionError, PromptRejectedError
from pixyproxy.domain.generation import GenerationOutcome
from tests.fixtures.core import PNG
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


@pytest.mark.parametrize("vary", [False, True])
async def test_a_form_that_was_left_open_pays_for_nobody_else(app: HttpApp, vary: bool) -> None:
    made = await app.create(prompt="a duck")
    path = f"/view/{made['guid']}/vary" if vary else "/create"
    page = (await app.client.get(f"/view/{made['guid']}" if vary else "/", headers=HTML, auth=basic(ALICE))).text
    assert 'name="login" value="alice"' in page
    form = {"prompt": "a goose", "key": "a-key", "login": "alice"}
    refused = await app.client.post(path, data=form, headers=HTML, auth=basic(BOB))
    assert refused.status_code == 401
    assert "www-authenticate" not in refused.headers
    assert "Somebody else has logged in" in refused.text
    assert ("a duck" if vary else "a goose") + "</textarea>" in refused.text
    assert 'name="login" value="bob"' in refused.text
    assert len(app.generator.requests) == 1
    assert (await app.client.post(path, data=form, headers=HTML, auth=basic(ALICE))).status_code == 303


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


@pytest.mark.parametrize("paid", [1, 2])
async def test_a_refusal_in_the_middle_offers_only_the_rest(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch, paid: int
) -> None:
    keys: list[str | None] = []
    create_image = ImageService.create

    async def refuse(self: ImageService, *args: Any, **options: Any) -> GenerationOutcome:
        keys.append(options["idempotency_key"])
        if len(keys) == paid + 1:
            raise CapacityExceededError("Too busy.")
        return await create_image(self, *args, **options)

    monkeypatch.setattr(ImageService, "create", refuse)
    response = await create(app, prompt="a duck", n="3", key="first", tags="sea")
    assert response.status_code == 503
    words = {1: r'/view/[0-9a-f-]+">1 of 3 pictures is', 2: r'/">2 of 3 pictures are'}[paid]
    assert re.search(f'<a href="{words} being made</a>', response.text)
    assert f'<option value="{3 - paid}" selected>' in response.text
    assert 'name="tags" value="sea"' in response.text
    [key] = re.findall(r'name="key" value="([^"]+)"', response.text)
    [begun] = re.findall(r'name="begun" value="([^"]+)"', response.text)
    assert (key, begun) == ("first", str(paid))
    await create(app, prompt="a duck", n=str(3 - paid), key=key, begun=begun, tags="sea")
    await app.container.generation_runner().drain(60)
    assert len(app.generator.requests) == 3
    app.container.generation_runner().draining = False


async def test_a_form_that_was_refused_after_it_was_recorded_is_paid_once(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_image = ImageService.create
    recorded: list[str] = []

    async def lose(self: ImageService, *args: Any, **options: Any) -> GenerationOutcome:
        recorded.append((await create_image(self, *args, **options)).image.guid)
        raise DBConnectionError("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(ImageService, "create", lose)
        response = await create(app, prompt="a duck", key="kept")
    assert response.status_code == 503
    [key] = re.findall(r'name="key" value="([^"]+)"', response.text)
    again = await create(app, prompt="a duck", key=key)
    assert again.headers["location"] == f"/view/{recorded[0]}"
    # Other words are another picture, for which the form gets a new key.
    response = await create(app, prompt="a goose", key=key, begun="0")
    assert response.status_code == 422
    assert "made a picture with other contents" in response.text
    [key] = re.findall(r'name="key" value="([^"]+)"', response.text)
    assert key != "kept"
    made = [await create(app, prompt="a goose", key=key, begun=begun) for begun in ("", "x", "-1", "99", "²")]
    assert len({response.headers["location"] for response in made}) == 1


async def test_a_prompt_is_used_again_with_its_model(app: HttpApp) -> None:
    made = await app.create(model="asked-for")
    page = (await app.client.get(f"/?use={made['guid']}", headers=HTML, auth=basic(ALICE))).text
    assert f'name="model" value="{made["model"]}"' in page
    response = await app.client.post(
        f"/view/{made['guid']}/vary", data={"key": "a-key"}, headers=HTML, auth=basic(ALICE)
    )
    assert response.status_code == 303
    await app.container.generation_runner().drain(60)
    assert app.generator.requests[-1].model == made["model"]
    app.container.generation_runner().draining = False


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
    assert re.findall(r'name="image\[\]" value="([^"]+)"', page) == [source["guid"]]
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
        page = await app.client.get(f"/?edit={made['guid']}", headers=HTML, auth=basic(ALICE))
        assert ('type="file"' in page.text) is edits
        assert ("cannot edit pictures" in page.text) is not edits


async def send_files(app: HttpApp, files: list[tuple[str, object]], **fields: str) -> httpx.Response:
    parts = [*((name, (None, text.encode())) for name, text in fields.items()), *files]
    return await app.client.post("/create", files=parts, headers=HTML, auth=basic(ALICE))  # type: ignore[arg-type]


async def test_files_are_sent_with_the_form(app: HttpApp) -> None:
    source = await app.create(prompt="the source")
    pictures = [("image[]", (None, source["guid"].encode())), ("image[]", ("b.png", PNG))]
    key = {"key": "a-key"}
    made = await send_files(app, pictures, prompt="an\r\nedit", tags="sea, night", n="2", size="", **key)
    assert (made.status_code, made.headers["location"]) == (303, "/")
    while len(found := (await app.client.get("/image", params={"derived_from": source["guid"]})).json()) < 2:
        await asyncio.sleep(0.01)
    assert [image["tags"] for image in found] == [["sea", "night"]] * 2
    request = app.generator.requests[-1]
    assert (request.prompt, request.n, len(request.images)) == ("an\nedit", 2, 2)
    # Sent again, it is the same; without a file it is a picture like any other.
    await send_files(app, pictures, prompt="an\r\nedit", tags="sea, night", n="2", size="", **key)
    assert len(app.generator.requests) == 2
    none = await send_files(app, [("image[]", ("", b""))], prompt="a duck")
    guid = none.headers["location"].removeprefix("/view/")
    assert (await app.client.get(f"/image/{guid}")).json()["derived_from"] == []


async def test_refused_files_are_to_be_chosen_again(app: HttpApp) -> None:
    source = await app.create()
    for content, fields, problem in (
        (b"no picture", {"prompt": "an edit"}, "must be a picture"),
        (PNG, {"prompt": " "}, "must not be blank"),
        (PNG, {"prompt": "an edit", "n": "9"}, "from 1 to 4"),
    ):
        files = [("image[]", (None, source["guid"].encode())), ("image[]", ("a.png", content))]
        refused = await send_files(app, files, **fields)
        assert refused.status_code == 422
        assert problem in refused.text
        assert "Choose your files again" in refused.text
        assert f'value="{source["guid"]}"' in refused.text
    app.generator.edits = False
    refused = await send_files(app, [("image[]", ("a.png", PNG))], prompt="an edit")
    assert "cannot edit" in refused.text
    assert "multipart" not in refused.text
    evil = {**HTML, "Origin": "https://evil.example"}
    sent = await app.client.post("/create", files={"image[]": PNG}, data={"prompt": "x"}, headers=evil)
    assert sent.status_code == 403
    assert len(app.generator.requests) == 1


@pytest.mark.parametrize("edits", [True, False])
async def test_one_click_varies_a_picture(app: HttpApp, edits: bool) -> None:
    app.generator.edits = edits
    made = await app.create(prompt="a duck\non a sink", size="1536x1024", visibility="private", tags=["own"])
    page = (await app.client.get(f"/view/{made['guid']}", headers=HTML, auth=basic(ALICE))).text
    [(title, key)] = [
        (title, key)
        for key, title in re.findall(
            r'/vary"><input type="hidden" name="key" value="([^"]+)">.*?<button title="([^"]+)"', page
        )
    ]
    assert ("from this picture and its prompt" in title) is edits
    assert ("cannot edit" in title) is not edits
    path, data = f"/view/{made['guid']}/vary", {"key": key}
    first, second = [await app.client.post(path, data=data, headers=HTML, auth=basic(ALICE)) for _ in range(2)]
    assert first.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    varied = (
        await app.client.get(f"/image{first.headers['location'].removeprefix('/view')}", auth=basic(ALICE))
    ).json()
    assert (varied["prompt"], varied["parameters"], varied["visibility"], varied["tags"]) == (
        made["prompt"],
        made["parameters"],
        "private",
        [],
    )
    assert varied["derived_from"] == ([made["guid"]] if edits else [])
    assert (await app.client.post(path, data=data, headers=HTML, auth=basic(BOB))).status_code == 404
    evil = {"Origin": "https://evil.example"}
    assert (await app.client.post(path, data=data, headers=evil, auth=basic(ALICE))).status_code == 403
    app.container.generation_runner().draining = True
    script = await app.client.post(
        path, data={"key": "new"}, headers={**HTML, "Accept": "application/json"}, auth=basic(ALICE)
    )
    assert (script.status_code, script.headers["content-type"]) == (503, "application/problem+json")
    refused = await app.client.post(path, data={"key": "new"}, headers=HTML, auth=basic(ALICE))
    assert refused.status_code == 503
    assert "a duck\non a sink</textarea>" in refused.text
    app.container.generation_runner().draining = False


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
