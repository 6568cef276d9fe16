"""X-Forwarded fields: whose are believed, and what is read from them."""

import logging
from typing import Any

import pytest

from pixyproxy.entrypoints.http.middleware.forwarded import ForwardedMiddleware
from tests.fixtures.http_app import http_app

PROXIES = ("127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix:")


async def seen(
    headers: list[tuple[str, str]],
    *,
    peer: tuple[str, int] | None = ("127.0.0.1", 5),
    proxies: tuple[str, ...] | None = PROXIES,
) -> dict[str, Any]:
    """Return client, scheme and host of a request as the application behind the middleware sees them."""
    found: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        found.update(client=scope["client"], scheme=scope["scheme"], hosts=hosts)

    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in [("Host", "own.example"), *headers]]
    scope = {"type": "http", "client": peer, "scheme": "http", "headers": given}
    await ForwardedMiddleware(app, proxies)(scope, None, None)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.9", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.1.1.1, 127.0.0.1"], "192.0.2.1"),
        (["192.0.2.9, 192.0.2.1,10.1.1.1"], "192.0.2.1"),
        (["10.9.9.9, 10.1.1.1"], "10.9.9.9"),
        (["127.0.0.1"], "127.0.0.1"),
        (["2001:db8::1, fd00::2"], "2001:db8::1"),
        (["[2001:db8::1]:443, unix:"], "2001:db8::1"),
        (["192.0.2.1:5000"], "192.0.2.1"),
        (["::ffff:192.0.2.1, ::ffff:10.0.0.1"], "192.0.2.1"),
        (["192.0.2.1, unknown"], "127.0.0.1"),
        (["192.0.2.1, unknown, 10.0.0.1"], "10.0.0.1"),
        (["192.0.2.1,, "], "192.0.2.1"),
        ([""], "127.0.0.1"),
        (["\xff\xfe, 10.0.0.1"], "10.0.0.1"),
        (["; DROP TABLE images"], "127.0.0.1"),
    ],
)
async def test_the_client_is_the_rightmost_address_that_is_no_named_proxy(values: list[str], client: str) -> None:
    assert (await seen([("X-Forwarded-For", value) for value in values]))["client"][0] == client


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        (["https"], "https"),
        (["HTTPS"], "https"),
        (["https, http"], "https"),
        (["http, https"], "http"),
        (["Https", "http"], "https"),
        ([" https ,http"], "https"),
        (["wss"], "http"),
        (["javascript"], "http"),
        (["ftp, https"], "http"),
        (["https://x"], "http"),
        ([""], "http"),
    ],
)
async def test_the_scheme_is_the_first_of_the_list_if_it_is_one_of_two(values: list[str], scheme: str) -> None:
    assert (await seen([("X-Forwarded-Proto", value) for value in values]))["scheme"] == scheme


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("pictures.example", b"pictures.example"),
        ("pictures.example:8443, inner.example", b"pictures.example:8443"),
        ("[2001:db8::1]:80", b"[2001:db8::1]:80"),
        ("evil.example/path", b"own.example"),
        ("a b", b"own.example"),
        ("user@evil.example", b"own.example"),
        ("", b"own.example"),
    ],
)
async def test_the_host_is_believed_only_where_the_setting_was_set_by_hand(value: str, host: bytes) -> None:
    headers = [("X-Forwarded-Host", value)]
    assert (await seen(headers))["hosts"] == [host]
    assert (await seen(headers, proxies=None))["hosts"] == [b"own.example"]


@pytest.mark.parametrize(
    ("peer", "believed"),
    [
        (("127.0.0.1", 5), True),
        (("::ffff:127.0.0.1", 5), True),
        (("10.1.2.3", 5), True),
        (("fd00::1", 5), True),
        (None, True),
        (("192.0.2.1", 5), False),
        (("::1", 5), False),
        (("testclient", 5), False),
    ],
)
async def test_only_named_peers_are_believed(peer: tuple[str, int] | None, believed: bool) -> None:
    found = await seen([("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-Proto", "https")], peer=peer)
    assert found["client"] == (("198.51.100.1", 0) if believed else peer)
    assert found["scheme"] == ("https" if believed else "http")


@pytest.mark.parametrize(("client", "scheme"), [("127.0.0.1", "https"), ("::1", "https"), ("127.0.0.2", "http")])
async def test_proxies_of_this_host_are_named_by_default(client: str, scheme: str) -> None:
    assert (await seen([("X-Forwarded-Proto", "https")], peer=(client, 5), proxies=None))["scheme"] == scheme


async def test_an_unnamed_peer_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    middleware = ForwardedMiddleware(app, PROXIES)
    for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "127.0.0.1"):
        for headers in ([], [(b"x-forwarded-host", b"x")]):
            scope = {"type": "http", "client": (client, 5), "scheme": "http", "headers": headers}
            await middleware(scope, None, None)  # type: ignore[arg-type]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "192.0.2.1: PIXYPROXY_FORWARDED_ALLOW_IPS does not name it" in record.getMessage()


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/pixy", "/pixy"),
        ("/a/b-1/", "/a/b-1"),
        ("/outer, /inner", "/outer"),
        ("", ""),
        ("/", ""),
        ("pixy", ""),
        ("//evil.example", ""),
        ("/a/../b", ""),
        ("/a?b", ""),
        ("https://evil.example", ""),
    ],
)
async def test_addresses_handed_out_begin_with_what_the_proxy_says(prefix: str, path: str) -> None:
    headers = {
        "X-Forwarded-Proto": "https, http",
        "X-Forwarded-Host": "pictures.example",
        "X-Forwarded-Prefix": prefix,
        "Content-Type": "application/json",
    }
    body = b'{"prompt": "a duck"}'
    async with http_app(PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1") as by_hand:
        response = await by_hand.client.post("/image", content=body, headers=headers)
        assert response.headers["location"] == f"https://pictures.example{path}/image/{response.json()['guid']}"
        assert response.json()["content_url"].startswith(f"{path}/image/")
        assert (await by_hand.client.get("/", headers={**headers, "Accept": "application/json"})).headers[
            "location"
        ] == f"{path}/docs"
    async with http_app() as by_default:
        response = await by_default.client.post("/image", content=body, headers=headers)
        assert response.headers["location"] == f"https://test.example/image/{response.json()['guid']}"
        assert response.json()["content_url"].startswith("/image/")
    async with http_app(
        PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1", PIXYPROXY_PUBLIC_URL="http://fixed.example/p"
    ) as fixed:
        response = await fixed.client.post("/image", content=body, headers=headers)
        assert response.headers["location"].startswith("http://fixed.example/p/image/")
        assert response.json()["content_url"].startswith("/p/image/")
