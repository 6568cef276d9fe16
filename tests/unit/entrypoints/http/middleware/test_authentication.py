"""Authentication (RFC 7617, RFC 6750) and the access policy."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from starlette.requests import Request

from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import User
from pixyproxy.entrypoints.http.access_policy import AccessPolicy
from tests.fixtures.http_app import ALICE, BOB, MISSING, HttpApp, basic, http_app, log_lines

ROUTES = [
    ("GET", "/image"),
    ("POST", "/image"),
    ("GET", f"/image/{MISSING}"),
    ("GET", f"/image/{MISSING}/content"),
    ("PATCH", f"/image/{MISSING}"),
    ("DELETE", f"/image/{MISSING}"),
    ("GET", "/user/me"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("PUT", "/image"),
]


def encoded(text: str | bytes) -> bytes:
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as opened:
        yield opened


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic",
        b"Basic ",
        b"Basic " + encoded("alice"),
        b"Basic " + encoded(":"),
        b"Basic " + encoded(f":{ALICE[1]}"),
        b"Basic " + encoded("alice:wrong"),
        b"Basic " + encoded("alice:"),
        b"Basic " + encoded("Alice:" + ALICE[1]),
        b"Basic " + encoded("nobody:" + ALICE[1]),
        b"Basic " + encoded("alice:" + ALICE[1] + " "),
        b"Basic " + encoded("alice:" + ALICE[1] + "\x00"),
        b"Basic " + encoded(" alice:" + ALICE[1]),
        b"Basic " + encoded(("alice:" + ALICE[1]).encode("utf-16")),
        b"Basic " + encoded(b"bob:secr\xe9t"),
        b"Basic " + encoded(b"\xff\xfe:\xed\xa0\x80"),
        b"Basic " + encoded("alice:" + ALICE[1])[:-2],
        b"Basic !!!!" + encoded("alice:" + ALICE[1]),
        b"Basic " + encoded("alice:" + ALICE[1]) + b" x",
        b"Basic " + encoded("alice:" + ALICE[1]) + b", Basic " + encoded("alice:" + ALICE[1]),
        b"Basic \xff\xff",
        b"Basic" + encoded("alice:" + ALICE[1]),
        b"Bearer " + encoded("alice:" + ALICE[1]),
        b"Bearer",
        b"Bearer ",
        b"Bearer sk-0123456789",
        b"Bearer pxy_",
        b"Bearer pxy_" + b"a" * 43,
        b"Bearer pxy_" + "ä".encode() * 43,
        b"Bearer \xff\xff",
        b"Bearer " + b"x" * 20_000,
        b"Basic pxy_" + b"a" * 43,
        b"pxy_" + b"a" * 43,
        b"Digest username=alice",
        encoded("alice:" + ALICE[1]),
        b"Basic " + encoded("🦆" * 2000 + ":" + "x" * 20_000),
    ],
)
async def test_wrong_and_malformed_credentials_are_refused_everywhere(value: bytes, app: HttpApp) -> None:
    for method, path in ROUTES:
        response = await app.raw(method, path, headers=[(b"authorization", value)])
        assert response.status == 401, (method, path)
        assert response.header("www-authenticate") == 'Basic realm="pixyproxy", charset="UTF-8"'
        assert response.header("content-type") == "application/problem+json"
        assert b"authentication-required" in response.body


async def test_two_authorization_headers_are_refused(app: HttpApp) -> None:
    good = (b"authorization", b"Basic " + encoded("alice:" + ALICE[1]))
    assert (await app.raw("GET", "/user/me", headers=[good])).status == 200
    assert (await app.raw("GET", "/user/me", headers=[good, good])).status == 401


def bearer(token: str, scheme: str = "Bearer ") -> list[tuple[bytes, bytes]]:
    return [(b"authorization", (scheme + token).encode())]


async def test_an_api_key_authenticates_its_user_on_every_route(app: HttpApp) -> None:
    token, _ = await app.container.key_service().add("alice")
    for method, path in ROUTES:
        assert (await app.raw(method, path, headers=bearer(token))).status != 401, (method, path)
    response = await app.raw("GET", "/user/me", headers=bearer(token))
    assert (response.status, json.loads(response.body)["username"]) == (200, "alice")
    assert (await app.raw("GET", "/user/me", headers=bearer(token) * 2)).status == 401


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", " Bearer   "])
async def test_the_bearer_scheme_is_case_insensitive(scheme: str, app: HttpApp) -> None:
    token, _ = await app.container.key_service().add("bob")
    assert (await app.raw("GET", "/user/me", headers=bearer(token, scheme))).status == 200
    for damaged in (token + " x", token.upper(), token[4:], "sk-" + token[4:]):
        assert (await app.raw("GET", "/user/me", headers=bearer(damaged, scheme))).status == 401


async def test_an_api_key_acts_for_its_user(app: HttpApp) -> None:
    keys = app.container.key_service()
    alice, bob = [{"Authorization": f"Bearer {(await keys.add(name))[0]}"} for name in ("alice", "bob")]
    made = await app.client.post("/image", json={"prompt": "a duck", "visibility": "private"}, headers=alice)
    assert (made.status_code, made.json()["author"]) == (200, "alice")
    path = f"/image/{made.json()['guid']}"
    assert (await app.client.get(path, headers=alice)).status_code == 200
    assert (await app.client.get(path, auth=basic(ALICE))).status_code == 200
    assert (await app.client.get(path, headers=bob)).status_code == 404
    assert (await app.client.delete(path, headers=alice)).status_code == 204


async def test_a_revoked_expired_or_orphaned_key_is_refused_at_once(app: HttpApp) -> None:
    keys = app.container.key_service()
    revoked, key = await keys.add("alice")
    expired, _ = await keys.add("alice", expires=app.container.clock().now() + timedelta(hours=1))
    orphaned, _ = await keys.add("bob")
    for token in (revoked, expired, orphaned):
        assert (await app.raw("GET", "/user/me", headers=bearer(token))).status == 200
    await keys.revoke(key.key_id)
    app.container.clock().advance(timedelta(hours=1))
    await app.container.user_service().remove("bob")
    bodies = set()
    for token in (revoked, expired, orphaned, "pxy_" + "a" * 43):
        response = await app.raw("GET", "/user/me", headers=bearer(token))
        assert response.status == 401
        assert response.header("www-authenticate") == 'Basic realm="pixyproxy", charset="UTF-8"'
        problem = json.loads(response.body)
        bodies.add((problem["title"], problem["detail"], problem["code"]))
    assert len(bodies) == 1


async def test_malformed_credentials_are_answered_with_the_right_form(app: HttpApp) -> None:
    response = await app.raw("GET", "/healthz", headers=[(b"authorization", b"Digest x")])
    assert json.loads(response.body)["detail"] == (
        "Send one Authorization header: Basic, with username:password in UTF-8 and base64, "
        "or Bearer with an API key (pxy_…), which api-key or x-api-key may hold as well."
    )


@pytest.mark.parametrize("name", [b"api-key", b"x-api-key"])
async def test_a_key_may_be_in_a_header_of_its_own(name: bytes, app: HttpApp) -> None:
    token, _ = await app.container.key_service().add("alice")
    other, _ = await app.container.key_service().add("bob")
    right, wrong, basic_bob = (name, token.encode()), (name, b"sk-foreign"), b"Basic " + encoded(":".join(BOB))
    for headers, username in (
        ([right], "alice"),
        ([(name, b" " + token.encode() + b" ")], "alice"),
        ([(name, b"bearer  " + token.encode())], "alice"),
        ([(name, b"Bearer")], None),
        ([(b"api-key", token.encode()), (b"x-api-key", token.encode())], "alice"),
        ([right, (b"authorization", basic_bob)], "bob"),
        ([wrong, (b"authorization", basic_bob)], "bob"),
        ([right, (b"authorization", b"Bearer " + other.encode())], "bob"),
        ([wrong], None),
        ([(name, b"")], None),
        ([(name, basic_bob)], None),
        ([(b"api-key", token.encode()), (b"x-api-key", other.encode())], None),
        ([right, (b"authorization", b"Bearer sk-foreign")], None),
    ):
        response = await app.raw("GET", "/user/me", headers=headers)
        expected = (401, "authentication-required") if username is None else (200, username)
        body = json.loads(response.body)
        assert (response.status, body.get("code") or body["username"]) == expected, headers
    for path in ("/healthz", "/nowhere", "/v1/models"):
        response = await app.raw("GET", path, headers=[wrong])
        assert response.status == 401
    assert json.loads(response.body)["error"]["message"].startswith("Incorrect API key provided.")


async def test_a_key_appears_in_no_response_and_no_log_line(app: HttpApp) -> None:
    keys = app.container.key_service()
    with log_lines() as lines:
        token, key = await keys.add("alice")
        wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
        await keys.revoke((await keys.add("bob"))[1].key_id)
        for sent in (token, wrong, token + "x"):
            for method, path in ROUTES:
                response = await app.raw(method, path, headers=bearer(sent))
                shown = response.body + repr(response.headers).encode()
                assert token[12:-1].encode() not in shown
    assert lines
    for secret in (token[12:-1], key.digest, "Bearer"):
        assert not [line for line in lines if secret in line]


@pytest.mark.parametrize("scheme", [b"Basic ", b"basic ", b"BASIC ", b" Basic   "])
async def test_the_basic_scheme_is_case_insensitive(scheme: bytes, app: HttpApp) -> None:
    response = await app.raw("GET", "/user/me", headers=[(b"authorization", scheme + encoded("bob:" + BOB[1]))])
    assert (response.status, json.loads(response.body)["username"]) == (200, "bob")


async def test_a_password_may_hold_colons_and_any_script(app: HttpApp) -> None:
    response = await app.client.get("/user/me/", auth=basic(ALICE))
    assert (response.status_code, response.json()["username"]) == (200, "alice")


async def test_a_name_and_password_are_the_same_in_either_unicode_form(app: HttpApp) -> None:
    decomposed = ALICE[1].replace("ä", "a\u0308")
    assert (await app.client.get("/user/me", auth=basic(("alice", decomposed)))).status_code == 200


async def test_the_current_user_needs_a_login(app: HttpApp) -> None:
    response = await app.client.get("/user/me")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="pixyproxy", charset="UTF-8"'


async def test_a_removed_user_is_refused_at_once(app: HttpApp) -> None:
    assert (await app.client.get("/user/me", auth=basic(BOB))).status_code == 200
    await app.container.user_service().remove("bob")
    assert (await app.client.get("/user/me", auth=basic(BOB))).status_code == 401


@pytest.mark.parametrize(("anonymous", "read", "write"), [("none", 401, 401), ("read", 200, 401), ("write", 200, 200)])
async def test_the_rights_of_anonymous_callers_on_the_routes(anonymous: str, read: int, write: int) -> None:
    async with http_app(PIXYPROXY_ANONYMOUS=anonymous) as app:
        detail = await app.create()
        for method in ("GET", "HEAD"):
            for path in ("/image", f"/image/{detail['guid']}", detail["content_url"]):
                assert (await app.client.request(method, path)).status_code == read, path
        assert (await app.client.get(f"/image/{MISSING}")).status_code == (404 if read == 200 else 401)
        assert (await app.client.get("/image?nonsense=1")).status_code == (422 if read == 200 else 401)
        assert (await app.client.post("/image", json={"prompt": "x"})).status_code == write
        # The body is not parsed.
        assert (await app.client.post("/image", content=b"{")).status_code == (415 if write == 200 else 401)
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"):
            assert (await app.client.get(path)).status_code == 200, path
        assert len(app.generator.requests) == (2 if write == 200 else 1)


def _request(user: User | None) -> Request:
    return Request({"type": "http", "method": "GET", "headers": [], "state": {"user": user}})


@pytest.mark.parametrize("anonymous", ["none", "read", "write"])
def test_a_user_who_is_logged_in_may_read_and_write(anonymous: str) -> None:
    policy = AccessPolicy(anonymous)  # type: ignore[arg-type]
    request = _request(User("alice"))
    assert (
        policy.require_reader(request)
        == policy.require_writer(request)
        == policy.require_user(request).username
        == "alice"
    )


@pytest.mark.parametrize(("anonymous", "allowed"), [("none", ""), ("read", "r"), ("write", "rw")])
def test_the_rights_of_anonymous_callers(anonymous: str, allowed: str) -> None:
    policy, request = AccessPolicy(anonymous), _request(None)  # type: ignore[arg-type]
    for letter, ask in (("r", policy.require_reader), ("w", policy.require_writer)):
        if letter in allowed:
            assert ask(request) is None
        else:
            with pytest.raises(AuthenticationError):
                ask(request)
    with pytest.raises(AuthenticationError):
        policy.require_user(request)
