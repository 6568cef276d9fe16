"""Login sessions over HTTP: the cookie, and the requests for which it counts."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app

OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
FRAME = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app(PIXYPROXY_CORS_ORIGINS="https://listed.example") as app:
        yield app


def credentials(user: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("username", "password"), user, strict=True))


async def log_in(app: HttpApp, user: tuple[str, str] = ALICE, **options: Any) -> httpx.Response:
    response = await app.client.post("/session", json=credentials(user), **options)
    assert response.status_code == 200, response.text
    return response


async def username(app: HttpApp, **options: Any) -> str | None:
    response = await app.client.get("/session", **options)
    assert response.status_code == 200
    name: str | None = response.json()["username"]
    return name


async def test_a_login_sets_a_cookie_that_logs_in(app: HttpApp) -> None:
    assert (await app.client.get("/session")).json() == {"username": None}
    response = await log_in(app)
    assert response.json() == {"username": "alice", "class_key": "cs101", "role": "student"}
    assert response.headers["cache-control"] == "no-store"
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("pixyproxy=")
    assert {part.strip() for part in cookie.split(";")[1:]} == {
        "HttpOnly", "Max-Age=34560000", "Path=/", "SameSite=lax"
    }  # fmt: skip
    assert (await app.client.get("/session")).json() == {"username": "alice", "class_key": "cs101", "role": "student"}
    assert (await app.client.get("/user/me")).json()["username"] == "alice"


@pytest.mark.parametrize(
    ("base", "public_url"),
    [("https://test.example", None), ("http://img.example", "https://img.example/pixy")],
)
async def test_the_cookie_is_bound_to_this_host_on_https(base: str, public_url: str | None) -> None:
    values: dict[str, Any] = {} if public_url is None else {"PIXYPROXY_PUBLIC_URL": public_url}
    async with http_app(**values) as app:
        cookie = (await app.client.post(f"{base}/session", json=credentials(ALICE))).headers["set-cookie"]
        assert cookie.startswith("__Host-pixyproxy=")
        assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= {part.strip() for part in cookie.split(";")[1:]}
        assert "Domain" not in cookie
        token = cookie.partition("=")[2].partition(";")[0]
        app.client.cookies.clear()
        for name, expected in (("__Host-pixyproxy", "alice"), ("pixyproxy", None)):
            found = await app.client.get(f"{base}/session", headers={"Cookie": f"{name}={token}"})
            assert found.json()["username"] == expected


@pytest.mark.parametrize(
    ("method", "headers", "counts"),
    [
        ("GET", {}, True),
        ("GET", {"Sec-Fetch-Site": "same-origin"}, True),
        ("GET", {"Sec-Fetch-Site": "none"}, True),
        ("GET", {"Sec-Fetch-Site": "same-site"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", **NAVIGATION}, True),
        ("GET", {"Sec-Fetch-Site": "same-site", **NAVIGATION}, True),
        ("GET", {"Sec-Fetch-Site": "cross-site", **FRAME}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Origin": "http://test.example"}, False),
        ("GET", {"Origin": "http://test.example"}, True),
        ("GET", {"Origin": "https://listed.example"}, False),
        ("GET", {"Origin": "null"}, False),
        ("HEAD", {"Sec-Fetch-Site": "cross-site"}, False),
        ("POST", {}, False),
        ("POST", {"Origin": "http://test.example"}, True),
        ("POST", {"Origin": "http://test.example:8080"}, False),
        ("POST", {"Origin": "https://listed.example"}, False),
        ("POST", {"Sec-Fetch-Site": "same-origin"}, True),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": "https://listed.example"}, False),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": "https://listed.example", **NAVIGATION}, False),
    ],
)
async def test_the_cookie_counts_for_the_own_page(
    app: HttpApp, method: str, headers: dict[str, str], counts: bool
) -> None:
    await log_in(app)
    private = await app.create(visibility="private")
    if method == "POST":
        response = await app.client.post("/image", json={"prompt": "a duck"}, headers=headers)
        # A program without `Origin` and listed origins may write, anonymously here.
        assert response.status_code == (403 if ":8080" in headers.get("Origin", "") else 200)
        assert response.json().get("author") == ("alice" if counts else None)
    else:
        response = await app.client.request(method, f"/image/{private['guid']}", headers=headers)
        assert response.status_code == (200 if counts else 404)


async def test_headers_go_before_the_cookie(app: HttpApp) -> None:
    await log_in(app)
    assert (await app.client.get("/user/me", auth=basic(BOB))).json()["username"] == "bob"
    key, _ = await app.container.key_service().add("bob")
    for headers in ({"Authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert (await app.client.get("/user/me", headers=headers)).json()["username"] == "bob"
    for headers in ({"Authorization": "Bearer sk-foreign"}, {"api-key": "sk-foreign"}):
        assert (await app.client.get("/user/me", headers=headers)).status_code == 401


async def test_a_logout_ends_the_session_everywhere(app: HttpApp) -> None:
    await log_in(app)
    cookies = dict(app.client.cookies)
    response = await app.client.delete("/session", headers=OWN)
    assert (response.status_code, response.content) == (204, b"")
    assert 'pixyproxy=""' in response.headers["set-cookie"]
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert await username(app) is None
    app.client.cookies.update(cookies)
    assert await username(app) is None
    assert (await app.client.delete("/session", headers=OWN)).status_code == 204


async def test_a_login_ends_the_session_before(app: HttpApp) -> None:
    old = (await log_in(app)).cookies
    await log_in(app, BOB, headers=OWN)
    assert await username(app) == "bob"
    app.client.cookies.clear()
    app.client.cookies.update(old)
    assert await username(app) is None


async def test_a_new_password_or_a_removal_ends_the_session(app: HttpApp) -> None:
    for user, end in (
        (ALICE, app.container.user_service().change_password("alice", "another secret of alice")),
        (BOB, app.container.user_service().remove("bob")),
    ):
        await log_in(app, user)
        assert await username(app) == user[0]
        await end
        assert await username(app) is None


async def test_a_session_that_has_ended_writes_nothing(app: HttpApp) -> None:
    await log_in(app)
    await app.container.user_service().change_password("alice", "another secret of alice")
    for method, path in (("POST", "/image"), ("GET", "/image"), ("GET", "/readyz")):
        response = await app.client.request(method, path, json={"prompt": "a secret"}, headers=OWN)
        assert (response.status_code, response.json()["code"]) == (401, "session-ended")
        assert "set-cookie" not in response.headers
    assert app.generator.requests == []
    # A page is shown without a login, and the browser forgets the cookie.
    response = await app.client.get("/login", headers=NAVIGATION | {"Sec-Fetch-Site": "none"})
    assert response.status_code == 200
    assert 'pixyproxy=""' in response.headers["set-cookie"]


@pytest.mark.parametrize("auth", [None, ALICE, BOB])
async def test_a_page_changes_nothing_for_another_user_than_its_own(auth: tuple[str, str] | None) -> None:
    async with http_app(PIXYPROXY_ANONYMOUS="write") as app:
        if auth is not None:
            await log_in(app, auth)
        name = "" if auth is None else auth[0]
        for named in ("", "alice", "bob", "%C3%A4"):
            headers = OWN | {"Pixyproxy-User": named}
            made = await app.client.post("/image", json={"prompt": "a page left open"}, headers=headers)
            assert made.status_code == (200 if named == name else 401), made.text
            if named != name:
                assert made.json()["code"] == ("session-ended" if auth is None else "other-login")
            assert (await app.client.get("/image", headers=headers)).status_code == 200
        assert len(app.generator.requests) == 1


async def test_credentials_go_before_the_user_of_a_page(app: HttpApp) -> None:
    headers = {"Pixyproxy-User": "alice"}
    made = await app.client.post("/image", json={"prompt": "a duck"}, headers=headers, auth=basic(BOB))
    assert made.status_code == 200


async def test_the_page_itself_gets_no_password_box(app: HttpApp) -> None:
    for headers, asks in (
        ({}, True),
        (NAVIGATION | {"Sec-Fetch-Site": "same-origin"}, True),
        (OWN, False),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, False),
        ({"X-Requested-With": "pixyproxy"}, False),
    ):
        response = await app.client.get("/user/me", headers=headers)
        assert response.status_code == 401
        assert ("www-authenticate" in response.headers) is asks


async def test_wrong_credentials(app: HttpApp) -> None:
    for body, status in (
        ({"username": "alice", "password": "wrong"}, 401),
        ({"username": "nobody", "password": "wrong"}, 401),
        ({"username": "alice"}, 422),
        ({**credentials(ALICE), "remember": True}, 422),
        ([], 422),
    ):
        response = await app.client.post("/session", json=body)
        assert response.status_code == status
        assert "set-cookie" not in response.headers
    assert (await app.client.post("/session", content="{")).status_code == 415
    for number in range(10):
        await app.client.post("/session", json={"username": "alice", "password": f"guess {number}"})
    response = await app.client.post("/session", json=credentials(ALICE))
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0


async def test_another_site_logs_nobody_in(app: HttpApp) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        response = await app.client.post("/session", json=credentials(ALICE), headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "cross-site")
        assert (await app.client.delete("/session", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "cookie", ["pixyproxy=", "pixyproxy", "pixyproxy=\x7f", "a=b; pixyproxy=x", "pixyproxy=é", "=;;"]
)
async def test_malformed_cookies_log_nobody_in(app: HttpApp, cookie: str) -> None:
    assert await username(app, headers={"Cookie": cookie.encode()}) is None


async def test_a_session_edits_and_deletes(app: HttpApp) -> None:
    await log_in(app)
    form = await app.client.post("/v1/images/edits", files={"image": PNG}, data={"prompt": "x"}, headers=OWN)
    assert form.status_code == 200
    [entry] = form.json()["data"]
    assert (await app.client.patch(f"/image/{entry['guid']}", json={"tags": ["a"]}, headers=OWN)).status_code == 200
    assert (await app.client.delete(f"/image/{entry['guid']}", headers=OWN)).status_code == 204
