"""The login page, the forms behind it, errors as pages, and the files of the page."""

import gzip
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from pixyproxy.entrypoints.http.pages.forms import local_path
from tests.fixtures.http_app import ALICE, HttpApp, http_app

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
OWN = {**HTML, "Origin": "http://test.example"}
ALICES = {"username": ALICE[0], "password": ALICE[1]}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app(PIXYPROXY_CORS_ORIGINS="https://listed.example") as app:
        yield app


async def post(app: HttpApp, path: str, **fields: str) -> httpx.Response:
    return await app.client.post(path, data=fields, headers=OWN)


async def test_the_form_logs_in_and_out(app: HttpApp) -> None:
    page = await app.client.get("/login?next=/view/1", headers=HTML)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 'name="next" value="/view/1"' in page.text
    response = await post(app, "/login", **ALICES, next="/view/1")
    assert (response.status_code, response.headers["location"]) == (303, "/view/1")
    assert (await app.client.get("/session")).json()["username"] == "alice"
    again = await app.client.get("/login?next=/docs", headers=HTML)
    assert (again.status_code, again.headers["location"]) == (303, "/docs")
    response = await post(app, "/logout", unused="")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert (await app.client.get("/session")).json()["username"] is None


async def test_a_failed_login_says_why_and_keeps_the_name(app: HttpApp) -> None:
    for fields, status, problem in (
        ({**ALICES, "password": "wrong"}, 401, "Wrong username or password."),
        ({"username": "alice"}, 422, "Enter your name and your password."),
        ({"username": "alice", "password": "x" * 1025}, 422, "password"),
    ):
        response = await post(app, "/login", **fields)
        assert response.status_code == status
        assert problem in response.text
        assert 'role="alert"' in response.text
        assert 'value="alice"' in response.text
        assert "www-authenticate" not in response.headers
        assert "set-cookie" not in response.headers
        assert fields.get("password", "no password") not in response.text
    for number in range(10):
        await post(app, "/login", username="alice", password=f"guess {number}")
    response = await post(app, "/login", **ALICES)
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert "Too many logins" in response.text


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/view/1?a=b&c=%2F", "/view/1?a=b&c=%2F"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: a=b", "/"),
        ("/\t/evil.example", "/"),
        ("view", "/"),
        ("//[", "/"),
    ],
)
async def test_a_login_leads_to_this_service_only(app: HttpApp, address: str, path: str) -> None:
    assert local_path(address) == path
    response = await post(app, "/login", **ALICES, next=address)
    assert (response.status_code, response.headers["location"]) == (303, path)


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_forms_of_other_origins_are_refused(app: HttpApp, path: str) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "https://listed.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://listed.example"},
    ):
        response = await app.client.post(path, data=ALICES, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "cross-site")
        assert "set-cookie" not in response.headers


async def test_other_bodies_than_forms_are_refused(app: HttpApp) -> None:
    assert (await app.client.post("/login", json=ALICES)).status_code == 415
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for content, status in ((b"a=%FF", 400), (b"a=\xff", 400), (b"a=1&" * 101, 400), (b"a=" + b"x" * 2**20, 413)):
        assert (await app.client.post("/login", content=content, headers=form)).status_code == status
    assert (await app.client.post("/image", data={"prompt": "a duck"})).status_code == 415


async def test_what_was_typed_is_text(app: HttpApp) -> None:
    markup = '"><script>alert(1)</script>\u202e'
    response = await post(app, "/login", username=markup, password="x", next="/")
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert(1)" in response.text


async def test_a_browser_gets_errors_as_pages(app: HttpApp) -> None:
    for path, status in (
        ("/nowhere", 404),
        ("/image/1", 404),
        ("/image?limit=x", 422),
        ("/user/me", 401),
        ("/session/x", 404),
    ):
        page = await app.client.get(path, headers=HTML)
        problem = await app.client.get(path)
        assert (page.status_code, problem.status_code) == (status, status)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.json()["detail"].replace("'", "&#39;") in page.text
        assert page.headers.get("www-authenticate") == problem.headers.get("www-authenticate")
    assert 'href="/login?next=/user/me"' in (await app.client.get("/user/me", headers=HTML)).text
    wrong = await app.client.post("/login", headers=HTML)
    assert (wrong.status_code, "text/html" in wrong.headers["content-type"]) == (415, True)
    openai = await app.client.get("/v1/nowhere", headers=HTML)
    assert openai.headers["content-type"] == "application/json"


async def test_an_error_page_tells_nothing_of_a_bug(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(app.container.session_service(), "begin", fail)
    response = await post(app, "/login", **ALICES)
    assert response.status_code == 500
    assert "unexpected error" in response.text
    assert "secret of the inside" not in response.text


async def test_pages_run_nothing_but_their_own_files(app: HttpApp) -> None:
    first = await app.client.get("/login", headers=HTML)
    policy = first.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert first.headers["referrer-policy"] == "same-origin"
    assert first.headers["cache-control"] == "no-cache"
    for page in (first, await app.client.get("/nowhere", headers=HTML)):
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon[a-z]+=", page.text)
        assert {
            url for url in re.findall(r'(?:src|href|action)="([^"#]+)"', page.text) if not url.startswith("/")
        } == set()


async def test_pages_of_a_user_are_not_stored(app: HttpApp) -> None:
    await post(app, "/login", **ALICES)
    page = await app.client.get("/nowhere", headers=HTML)
    assert page.headers["cache-control"] == "private, no-store"
    assert "Account of alice" in page.text


async def test_files_are_kept_for_good(app: HttpApp) -> None:
    page = await app.client.get("/login", headers=HTML)
    [address] = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
    assert re.fullmatch(r"/static/look\.[0-9a-f]{12}\.css", address)
    response = await app.client.get(address)
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert response.headers["content-encoding"] == "gzip"
    plain = await app.client.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == response.text
    assert gzip.compress(b"")[:2] != plain.content[:2]
    unchanged = await app.client.get(address, headers={"If-None-Match": response.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for name in ("look.css", "look.000000000000.css", "..%2frenderer.py", "%00"):
        assert (await app.client.get(f"/static/{name}")).status_code == 404
