"""Requests that a page of another site makes a browser send."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, MISSING, HttpApp, basic, http_app

LISTED = "https://gallery.example"


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app(PIXYPROXY_CORS_ORIGINS=LISTED, PIXYPROXY_PUBLIC_URL="https://Img.example/pixy") as app:
        yield app


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://renamed.example"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://www.test.example"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://test.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "Cross-Site", "Origin": "http://test.example"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": LISTED}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, False),
        ({"Origin": LISTED}, True),
        ({"Origin": "http://gallery.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://test.example"}, True),
        ({"Origin": "https://test.example"}, True),
        ({"Origin": "http://test.example:8080"}, False),
        ({"Origin": "http://test.example:8080", "Host": "test.example:8080"}, True),
        ({"Origin": "https://img.example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Host": "other.example"}, False),
    ],
)
async def test_another_site_changes_nothing(app: HttpApp, headers: dict[str, str], allowed: bool) -> None:
    for auth in (None, ALICE):
        form = await app.client.post(
            "/v1/images/edits", files={"image": PNG}, data={"prompt": "x"}, headers=headers, auth=basic(auth)
        )
        created = await app.client.post("/image", json={"prompt": "x"}, headers=headers, auth=basic(auth))
        assert (form.status_code, created.status_code) == ((200, 200) if allowed else (403, 403))
    deleted = await app.client.delete(f"/image/{MISSING}", headers=headers, auth=basic(ALICE))
    assert deleted.status_code == (404 if allowed else 403)
    if not allowed:
        assert (form.json()["error"]["code"], created.json()["code"]) == ("cross-site", "cross-site")
        assert app.generator.requests == []


@pytest.mark.parametrize("name", ["Authorization", "api-key", "x-api-key"])
async def test_a_request_with_an_api_key_passes(app: HttpApp, name: str) -> None:
    token, _ = await app.container.key_service().add("alice")
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for key, status in ((token, 200), ("sk-wrong", 401)):
        value = f"Bearer {key}" if name == "Authorization" else key
        response = await app.client.post("/image", json={"prompt": "x"}, headers={**headers, name: value})
        assert response.status_code == status
    # Basic goes before the key in the other header.
    response = await app.client.post("/image", json={}, headers={**headers, "x-api-key": token}, auth=basic(ALICE))
    assert response.status_code == 403


async def test_another_site_may_read(app: HttpApp) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for method in ("GET", "HEAD"):
        assert (await app.client.request(method, "/image", headers=headers)).status_code == 200


async def test_all_origins_but_null_pass_if_the_operator_lists_all() -> None:
    async with http_app(PIXYPROXY_CORS_ORIGINS="*") as app:
        for origin, status in (("https://any.example", 200), ("null", 403)):
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            assert (await app.client.post("/image", json={"prompt": "x"}, headers=headers)).status_code == status


async def test_a_listed_origin_may_send_and_read_any_header(app: HttpApp) -> None:
    fields = "api-key, authorization, idempotency-key, openai-organization, x-stainless-helper-method, x-new"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        response = await app.client.options(
            "/v1/images/edits",
            headers={
                "Origin": LISTED,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": fields,
                "Access-Control-Request-Private-Network": "true",
            },
        )
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, LISTED)
        assert response.headers["access-control-allow-headers"] == fields
        assert response.headers["access-control-allow-private-network"] == "true"
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = await app.client.options("/image", headers=preflight)
    assert (response.status_code, "access-control-allow-origin" in response.headers) == (400, False)


async def test_a_listed_origin_sees_every_header_that_the_service_sends(app: HttpApp) -> None:
    # Those that CORS shows anyway (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name), and those that
    # concern the browser only.
    known = {"cache-control", "content-length", "content-type", "last-modified"}
    known |= {"vary", "x-content-type-options", "x-frame-options", "content-security-policy"}
    known |= {"access-control-allow-origin", "access-control-expose-headers"}
    created = await app.create()
    headers = {"Origin": LISTED}
    for method, path, more in (
        ("POST", "/image", {"Prefer": "respond-async", "Idempotency-Key": "k"}),
        ("POST", "/image", {"Idempotency-Key": "k"}),
        ("GET", "/image?limit=1", {}),
        ("GET", f"/image/{created['guid']}/content", {"Range": "bytes=0-1"}),
        ("GET", f"/image/{created['guid']}/content", {"Range": "bytes=999999-"}),
        ("PUT", "/image", {}),
        ("GET", "/user/me", {}),
        ("GET", "/v1/models", {"x-api-key": "sk-wrong"}),
    ):
        body = json.dumps({"prompt": "x"}) if method == "POST" else None
        more = {**headers, **more, "Content-Type": "application/json"}
        response = await app.client.request(method, path, headers=more, content=body)
        shown = {name.strip().lower() for name in response.headers["access-control-expose-headers"].split(",")}
        assert set(response.headers) - known <= shown
