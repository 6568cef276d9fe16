"""The page of a user's own API keys, and its forms."""

import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from pixyproxy.application.accounts.key_service import MAX_OWN_KEYS
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app

HTML = {"Accept": "text/html", "Origin": "http://test.example"}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app(PIXYPROXY_CORS_ORIGINS="https://listed.example") as app:
        yield app


async def post(
    app: HttpApp, path: str = "/keys", auth: tuple[str, str] | None = ALICE, **fields: str
) -> httpx.Response:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return await app.client.post(path, data=fields, headers={**HTML, **form}, auth=basic(auth))


async def show(app: HttpApp, auth: tuple[str, str] = ALICE) -> str:
    page = await app.client.get("/keys", headers=HTML, auth=basic(auth))
    assert page.status_code == 200
    assert page.headers["cache-control"] == "private, no-store"
    return page.text


async def test_a_key_is_shown_once_and_works(app: HttpApp) -> None:
    made = await post(app, name=" my <b>laptop</b> ", expires="30d")
    assert made.status_code == 201
    assert made.headers["cache-control"] == "private, no-store"
    [secret] = re.findall(r'id="secret" value="(pxy_\w+)"', made.text)
    # The lines beside it can be copied as they are.
    assert made.text.count(secret) == 4
    assert (await app.client.get("/user/me", headers={"Authorization": f"Bearer {secret}"})).json()[
        "username"
    ] == "alice"
    page = await show(app)
    assert secret not in page
    assert "my &lt;b&gt;laptop&lt;/b&gt;" in page
    assert "<b>laptop" not in page
    assert f"{secret[:12]}…" in page
    assert secret[:12] not in await show(app, BOB)


async def test_a_page_of_another_user_makes_and_revokes_nothing(app: HttpApp) -> None:
    assert 'name="login" value="alice"' in await show(app)
    made = await post(app, auth=BOB, login="alice", name="notebook")
    assert made.status_code == 409
    assert "Somebody else has logged in since this page was opened. Nothing was done." in made.text
    assert "notebook" not in await show(app, BOB)
    assert (await post(app, login="alice", name="notebook")).status_code == 201


async def test_the_lines_have_the_address_of_this_service(app: HttpApp) -> None:
    page = html.unescape(await show(app))
    assert 'OpenAI(base_url="http://test.example/v1", api_key="pxy_…")' in page
    assert 'new OpenAI({ baseURL: "http://test.example/v1", apiKey: "pxy_…" })' in page
    assert "curl http://test.example/v1/images/generations" in page


async def test_a_key_is_revoked_by_its_owner_only(app: HttpApp) -> None:
    await post(app, name="old")
    [(user, key)] = [(key.username, key.key_id) for key in await app.container.key_service().list()]
    assert user == "alice"
    stranger = await post(app, f"/keys/{key}/revoke", BOB)
    assert stranger.status_code == 404
    assert "You have no such key." in stranger.text
    revoked = await post(app, f"/keys/{key}/revoke")
    assert (revoked.status_code, revoked.headers["location"]) == (303, "/keys")
    assert await app.container.key_service().list() == ()
    assert (await post(app, f"/keys/{key}/revoke")).status_code == 404
    assert "You have no keys yet." in await show(app)


async def test_strangers_log_in_and_make_nothing(app: HttpApp) -> None:
    for response in (
        await app.client.get("/keys", headers=HTML),
        await post(app, auth=None, name="x"),
        await post(app, "/keys/abcdefgh/revoke", auth=None),
    ):
        assert (response.status_code, response.headers["location"]) == (303, "/login?next=%2Fkeys")
    assert await app.container.key_service().list() == ()


@pytest.mark.parametrize("origin", ["https://evil.example", "https://listed.example", "null"])
async def test_pages_of_other_origins_make_and_revoke_nothing(app: HttpApp, origin: str) -> None:
    await post(app, name="mine")
    [key] = await app.container.key_service().list()
    for path in ("/keys", f"/keys/{key.key_id}/revoke"):
        response = await app.client.post(path, data={"name": "x"}, headers={"Origin": origin}, auth=basic(ALICE))
        assert (response.status_code, response.json()["code"]) == (403, "cross-site")
    assert await app.container.key_service().list() == (key,)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "x" * 65}, "name"),
        ({"expires": "soon"}, "expires"),
        ({"expires": "2020-01-01T00:00:00Z"}, "in the future"),
    ],
)
async def test_a_wrong_form_says_why_and_keeps_what_was_typed(
    app: HttpApp, fields: dict[str, str], problem: str
) -> None:
    response = await post(app, **{"name": "a name", **fields})
    assert response.status_code == 422
    alert = re.findall(r'role="alert">([^<]+)<', response.text)[0]
    assert problem in alert
    assert f'value="{fields.get("name", "a name")}"' in response.text
    assert await app.container.key_service().list() == ()


async def test_too_many_keys_and_expired_ones_are_named(app: HttpApp) -> None:
    service = app.container.key_service()
    for _ in range(MAX_OWN_KEYS):
        await service.add("alice", expires=timedelta(microseconds=1))
    response = await post(app, name="one more")
    assert response.status_code == 409
    assert f"You have {MAX_OWN_KEYS} keys already" in response.text
    assert response.text.count(">expired<") == MAX_OWN_KEYS
