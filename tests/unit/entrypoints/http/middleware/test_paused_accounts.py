"""Accounts that are paused or no longer valid, with every kind of login."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from pixyproxy.domain.user import UserChanges
from tests.fixtures.http_app import ALICE, HttpApp, basic, http_app

ENDED = datetime(2020, 1, 1, tzinfo=UTC)
PATHS = ("/image", "/user/me", "/healthz", "/docs", "/nowhere", "/v1/models")
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


@pytest.mark.parametrize("changes", [{"paused": True}, {"valid_until": ENDED}])
@pytest.mark.parametrize("login", ["basic", "bearer", "x-api-key", "session"])
async def test_every_login_is_refused(login: str, changes: UserChanges, app: HttpApp) -> None:
    token, _ = await app.container.key_service().add("alice")
    credentials = {"username": ALICE[0], "password": ALICE[1]}
    if login == "session":
        assert (await app.client.post("/session", json=credentials)).status_code == 200
    elif login == "bearer":
        app.client.headers["Authorization"] = f"Bearer {token}"
    elif login == "x-api-key":
        app.client.headers["x-api-key"] = token
    else:
        app.client.auth = basic(ALICE)
    assert (await app.client.get("/user/me")).status_code == 200
    await app.container.user_repository().update("alice", changes)
    for path in PATHS:
        response = await app.client.get(path)
        assert response.status_code == 403, path
        assert "WWW-Authenticate" not in response.headers
        code = response.json()["error"]["code"] if path.startswith("/v1") else response.json()["code"]
        assert code == "account-paused"
    created = await app.client.post("/image", json={"prompt": "a duck"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert created.status_code == 403
    assert app.generator.requests == []


async def test_a_paused_user_cannot_log_in_to_the_page_but_can_log_out(app: HttpApp) -> None:
    credentials = {"username": ALICE[0], "password": ALICE[1]}
    assert (await app.client.post("/login", data=credentials)).status_code == 303
    await app.container.user_service().pause("alice")
    page = await app.client.get("/", headers=NAVIGATION)
    assert page.status_code == 403
    assert "This account is paused" in page.text
    assert "Max-Age=0" not in page.headers.get("set-cookie", "")
    assert (await app.client.get("/session")).json() == {"username": None}
    refused = await app.client.post("/login", data=credentials)
    assert (refused.status_code, "This account is paused" in refused.text) == (403, True)
    assert (await app.client.post("/session", json=credentials)).json()["code"] == "account-paused"
    assert (await app.client.post("/logout", data={"x": "y"})).status_code == 303
    assert (await app.client.get("/", headers=NAVIGATION)).status_code == 200
