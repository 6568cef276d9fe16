"""API keys over HTTP: everybody lists, makes and revokes the own ones."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pixyproxy.application.accounts import key_service
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app, log_lines


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


async def ask(app: HttpApp, user: tuple[str, str] | None, method: str, path: str, **options: Any) -> httpx.Response:
    return await app.client.request(method, path, auth=basic(user), **options)


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(app: HttpApp) -> None:
    with log_lines() as lines:
        made = await ask(app, ALICE, "POST", "/key", json={"name": "my laptop", "expires": "30d"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    detail = made.json()
    secret = detail.pop("key")
    assert re.fullmatch(r"pxy_[0-9A-Za-z]{43}", secret)
    assert not [line for line in lines if secret[12:] in line]
    assert [line for line in lines if line.endswith(f"alice added the key {secret[:12]} of alice")]
    assert (detail["id"], detail["name"]) == (secret[4:12], "my laptop")
    assert (detail["created_at"][:10], detail["expires_at"][:10]) == ("2026-11-21", "2026-12-21")
    listed = await ask(app, ALICE, "GET", "/key")
    assert listed.json() == [detail]
    login = {"Authorization": f"Bearer {secret}"}
    assert (await app.client.get("/user/me", headers=login)).json()["username"] == "alice"
    with log_lines() as lines:
        assert (await ask(app, ALICE, "DELETE", f"/key/{detail['id']}")).status_code == 204
    assert [line for line in lines if line.endswith(f"alice revoked the key {secret[:12]}")]
    assert (await app.client.get("/user/me", headers=login)).status_code == 401
    assert (await ask(app, ALICE, "GET", "/key")).json() == []


async def test_a_key_needs_neither_a_name_nor_an_end(app: HttpApp) -> None:
    detail = (await ask(app, ALICE, "POST", "/key", json={})).json()
    assert (detail["name"], detail["expires_at"]) == (None, None)
    later = (await ask(app, ALICE, "POST", "/key", json={"expires": "2100-01-31T18:00+01:00"})).json()
    assert later["expires_at"] == "2100-01-31T17:00:00.000000Z"


async def test_keys_of_others_do_not_exist(app: HttpApp) -> None:
    detail = (await ask(app, ALICE, "POST", "/key", json={})).json()
    assert (await ask(app, BOB, "GET", "/key")).json() == []
    others = await ask(app, BOB, "DELETE", f"/key/{detail['id']}")
    missing = await ask(app, BOB, "DELETE", "/key/AbCdEfGh")
    assert others.status_code == missing.status_code == 404
    assert others.json()["detail"] == missing.json()["detail"]
    assert len((await ask(app, ALICE, "GET", "/key")).json()) == 1
    assert (await ask(app, ALICE, "DELETE", f"/key/pxy_{detail['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x" * 65}, "name"),
        ({"name": " "}, "name"),
        ({"expires": "soon"}, "expires"),
        ({"expires": "0d"}, "expires"),
        ({"expires": "2020-01-01"}, "expires"),
        ({"expires": 30}, "expires"),
        ({"username": "bob"}, "username"),
    ],
)
async def test_wrong_fields_are_named(body: dict[str, Any], field: str, app: HttpApp) -> None:
    response = await ask(app, ALICE, "POST", "/key", json=body)
    assert response.status_code == 422
    assert {error["loc"][0] for error in response.json()["errors"]} == {field}
    assert (await ask(app, ALICE, "GET", "/key")).json() == []


async def test_a_user_has_a_bounded_number_of_keys(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_service, "MAX_OWN_KEYS", 2)
    statuses = [(await ask(app, ALICE, "POST", "/key", json={})).status_code for _ in range(3)]
    assert statuses == [201, 201, 409]
    assert (await ask(app, BOB, "POST", "/key", json={})).status_code == 201


async def test_without_a_login_there_are_no_keys(app: HttpApp) -> None:
    for method, path in (("GET", "/key"), ("POST", "/key"), ("DELETE", "/key/AbCdEfGh")):
        assert (await ask(app, None, method, path)).status_code == 401
