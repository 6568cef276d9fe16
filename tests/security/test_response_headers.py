"""Every response, whatever it is, keeps a browser from taking it for more than it is."""

import base64
import hashlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pixyproxy.application.images.image_service import ImageService
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.entrypoints.http.middleware.security_fields import SecurityFieldsMiddleware
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, MISSING, HttpApp, basic, http_app
from tests.fixtures.service import Service

DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>1</script></svg>'
NAMES = ("x-content-type-options", "x-frame-options", "content-security-policy")
JSON = {"Content-Type": "application/json"}
PREFLIGHT = {"Origin": "https://gallery.example", "Access-Control-Request-Method": "POST"}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app(PIXYPROXY_CORS_ORIGINS="https://gallery.example") as app:
        yield app


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    """Return the directives of a response, which has each of the fields once."""
    assert [response.headers.get_list(name) for name in NAMES[:2]] == [["nosniff"], ["DENY"]]
    [policy] = response.headers.get_list("content-security-policy")
    directives = dict[str, list[str]]()
    for directive in policy.split(";"):
        name, *values = directive.split()
        assert name not in directives
        directives[name] = values
    assert directives["default-src"] == directives["frame-ancestors"] == ["'none'"]
    return directives


@pytest.mark.parametrize(
    ("status", "method", "path", "options"),
    [
        (200, "GET", "/image", {}),
        (200, "HEAD", "/image/{guid}/content", {}),
        (200, "GET", "/image/{guid}", {}),
        (200, "GET", "/openapi.json", {}),
        (200, "GET", "/healthz", {}),
        (200, "GET", "/readyz", {}),
        (200, "GET", "/docs/assets/swagger-ui.css", {}),
        (200, "GET", "/v1/models", {}),
        (200, "POST", "/image", {"json": {"prompt": "a duck"}}),
        (200, "POST", "/v1/images/generations", {"json": {"prompt": "a duck", "stream": True}}),
        (200, "OPTIONS", "/image", {"headers": PREFLIGHT}),
        (202, "POST", "/image", {"json": {"prompt": "a duck"}, "headers": {"Prefer": "respond-async"}}),
        (204, "DELETE", "/image/{guid}", {"auth": basic(ALICE)}),
        (206, "GET", "/image/{guid}/content", {"headers": {"Range": "bytes=0-1"}}),
        (304, "GET", "/image/{guid}/content", {"headers": {"If-None-Match": "*"}}),
        (307, "GET", "/", {"headers": {"Accept": "application/json"}}),
        (400, "POST", "/image", {"content": b"{", "headers": JSON}),
        (400, "POST", "/v1/images/generations", {"json": {}}),
        (401, "GET", "/image", {"auth": basic(("nobody", "x"))}),
        (403, "POST", "/image", {"json": {"prompt": "a"}, "headers": {"Origin": "https://evil.example"}}),
        (404, "GET", "/nothing", {}),
        (404, "GET", "/docs/assets/nothing.js", {}),
        (404, "GET", f"/image/{MISSING}", {}),
        (404, "GET", "/v1/nothing", {}),
        (405, "PUT", "/image", {}),
        (412, "GET", "/image/{guid}/content", {"headers": {"If-Match": '"x"'}}),
        (413, "POST", "/image", {"content": b"x" * 1_100_000, "headers": JSON}),
        (415, "POST", "/image", {"content": b"x"}),
        (416, "GET", "/image/{guid}/content", {"headers": {"Range": "bytes=999999-"}}),
        (422, "GET", "/image?limit=0", {}),
    ],
)  # fmt: skip
async def test_every_response_has_the_fields(
    app: HttpApp, status: int, method: str, path: str, options: dict[str, Any]
) -> None:
    guid = (await app.create())["guid"]
    response = await app.client.request(method, path.replace("{guid}", guid), **options)
    assert response.status_code == status
    policy = policy_of(response)
    assert "script-src" not in policy
    assert ("sandbox" in policy) == (status in {200, 206, 304} and path.endswith("/content"))


async def test_a_bug_has_the_fields_too(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ImageService, "get", stumble)
    response = await app.client.get(f"/image/{MISSING}")
    assert response.status_code == 500
    assert "sandbox" not in policy_of(response)


@pytest.mark.parametrize("picture", [PNG, DRAWING], ids=["png", "svg"])
async def test_a_picture_is_inert_however_it_is_sent(app: HttpApp, picture: bytes) -> None:
    app.generator.outcome = GeneratedImage(picture)
    detail = await app.create()
    for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}):
        for path in (detail["content_url"], f"/image/{detail['guid']}/content"):
            policy = policy_of(await app.client.get(path, headers=headers))
            # Empty: nothing is allowed in the sandbox.
            assert policy["sandbox"] == []
            assert policy["style-src"] == ["'unsafe-inline'"]
            assert set(policy) == {
                "default-src",
                "style-src",
                "img-src",
                "base-uri",
                "form-action",
                "frame-ancestors",
                "sandbox",
            }


async def test_nginx_is_told_the_fields(tmp_path: Path) -> None:
    with Service(tmp_path, PIXYPROXY_ACCEL_PREFIX="/_images") as service, service.client() as client:
        response = client.get(client.post("/image", json={"prompt": "a duck"}).json()["content_url"])
    assert "x-accel-redirect" in response.headers
    assert policy_of(response)["sandbox"] == []
    configuration = (Path(__file__).parents[2] / "deploy" / "nginx" / "pixyproxy.conf").read_text()
    for name in NAMES:
        title = {"x-content-type-options": "X-Content-Type-Options", "x-frame-options": "X-Frame-Options"}.get(name)
        assert (
            f"add_header {title or 'Content-Security-Policy'} $upstream_http_{name.replace('-', '_')};" in configuration
        )


@pytest.mark.parametrize(
    ("settings", "origin"),
    [({}, []), ({"PIXYPROXY_PUBLIC_URL": "https://pictures.example:8443/pixy"}, ["https://pictures.example:8443"])],
)
async def test_the_documentation_runs_its_own_scripts_only(settings: dict[str, str], origin: list[str]) -> None:
    async with http_app(**settings) as app:
        response = await app.client.get("/docs")
    policy = policy_of(response)
    [inline] = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert policy["script-src"][0] == "'self'"
    assert policy["script-src"][1:] == [f"'sha256-{sha256_of(inline)}'"]
    assert policy["connect-src"] == ["'self'", *origin]


def sha256_of(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431)],
    ids=["400", "431"],
)
def test_a_request_that_cannot_be_read_gets_the_fields(tmp_path: Path, request_: bytes, status: int) -> None:
    with Service(tmp_path) as service:
        url = httpx.URL(service.url)
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(request_)
            connection.settimeout(60)
            raw = b""
            while piece := connection.recv(65536):
                raw += piece
    head, *lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head.split()[1] == str(status)
    policy_of(httpx.Response(status, headers=[line.split(": ", 1) for line in lines]))


async def test_other_protocols_than_http_pass_as_they_are() -> None:
    seen = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    async def send(message: Any) -> None:
        seen.append(message)

    await SecurityFieldsMiddleware(inner)({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan.startup.complete"}]
