"""Malformed requests over a real socket: each has a clear problem, none is stored or answered with 500."""

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.containers import build_container
from pixyproxy.opening import opened
from tests.fixtures.service import PATIENCE_S, Service, problem
from tests.fixtures.services import ALICE
from tests.fixtures.sql.mysql_servers import in_thread

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


def rows_of(service: Service) -> list[str]:
    """Return the GUIDs of all rows, whatever their status, read from the database."""

    async def look() -> list[str]:
        async with opened(build_container(service.settings())) as container:
            images = container.image_service()
            found = []
            for viewer in (None, *[user.username for user in await container.user_service().list()]):
                for status in ("ready", "generating", "failed", "unknown"):
                    page = await images.search(viewer, {"status": status, "limit": 200})
                    found += [image.guid for image in page.items]
            return sorted(set(found))

    return in_thread(look)


def stored(service: Service) -> tuple[list[str], list[Path]]:
    return rows_of(service), service.files()


@pytest.fixture(scope="module")
def _before(service: Service) -> Iterator[None]:
    before = stored(service)
    yield
    assert stored(service) == before


@pytest.fixture
def strict(service: Service, _before: None) -> Service:
    """Yield the service, and check at the end of the module that nothing was stored."""
    return service


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b'{"prompt": ""}', 422, "prompt"),
    (b'{"prompt": "  \\n\\t"}', 422, "prompt"),
    (json.dumps({"prompt": "x" * 32_001}).encode(), 422, "prompt"),
    (json.dumps({"prompt": "🦆" * 32_001}, ensure_ascii=False).encode(), 422, "prompt"),
    (b'{"prompt": "a\\u0000b"}', 422, "prompt"),
    (b'{"prompt": "\\ud800"}', 422, "prompt"),
    (b'{"prompt": "\\udc00\\ud83e"}', 422, "prompt"),
    (b'{"prompt": 5}', 422, "prompt"),
    (b'{"prompt": null}', 422, "prompt"),
    (b'{"prompt": ["x"]}', 422, "prompt"),
    (b"{}", 422, "prompt"),
    (b'{"prompt": "x", "tags": "duck"}', 422, "tags"),
    (b'{"prompt": "x", "tags": [1]}', 422, "tags"),
    (b'{"prompt": "x", "tags": ["\\ud800"]}', 422, "tags"),
    (b'{"prompt": "x", "tags": ["\\u0000"]}', 422, "tags"),
    (b'{"prompt": "x", "tags": ["a\\nb"]}', 422, "tags"),
    (json.dumps({"prompt": "x", "tags": ["y" * 65]}).encode(), 422, "tags"),
    (json.dumps({"prompt": "x", "tags": [str(i) for i in range(33)]}).encode(), 422, "tags"),
    (b'{"prompt": "x", "filename": "../../../etc/passwd"}', 422, "filename"),
    (b'{"prompt": "x", "filename": "..\\\\evil.exe"}', 422, "filename"),
    (b'{"prompt": "x", "filename": "a\\r\\nSet-Cookie: a=b"}', 422, "filename"),
    (b'{"prompt": "x", "filename": "cod\\u202egnp.exe"}', 422, "filename"),
    (b'{"prompt": "x", "filename": "\\ud800.png"}', 422, "filename"),
    (json.dumps({"prompt": "x", "filename": "y" * 256}).encode(), 422, "filename"),
    (b'{"prompt": "x", "visibility": "secret"}', 422, "visibility"),
    (b'{"prompt": "x", "visibility": 0}', 422, "visibility"),
    (b'{"prompt": "x", "size": {"a": 1}}', 422, "size"),
    (b'{"prompt": "x", "n": 10}', 422, "n"),
    (b'{"prompt": "x", "author": "bob"}', 422, "author"),
    (b'{"prompt": "x", "guid": "00000000-0000-4000-8000-000000000000"}', 422, "guid"),
    (b'{"prompt": "x", "\\ud800": 1}', 422, ""),
    (b"[]", 422, ""),
    (b'"prompt"', 422, ""),
    (b"null", 422, ""),
    (b"", 400, ""),
    (b"{", 400, ""),
    (b'{"prompt": "x",}', 400, ""),
    (b'{"prompt": "x"}}', 400, ""),
    (b'{"prompt": "x", "prompt": "y"}', 400, ""),
    (b'{"prompt": "\xff\xfe"}', 400, ""),
    ('{"prompt": "x"}'.encode("utf-16"), 400, ""),
    (b'{"prompt": NaN}', 400, ""),
    (b'{"prompt": ' + b"1" * 5000 + b"}", 400, ""),
    (b"[" * 500_000, 400, ""),
    (b'{"prompt": "x"}' + b" " * MIB, 413, ""),
    (b'{"prompt": "' + b"x" * (5 * MIB) + b'"}', 413, ""),
]


@pytest.mark.parametrize(("body", "status", "loc"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_malformed_body_is_described(body: bytes, status: int, loc: str, strict: Service) -> None:
    with strict.client(ALICE) as client:
        for content in (body, (body[i : i + 50_000] for i in range(0, len(body), 50_000))):
            # The second is sent chunked, without a length.
            response = client.post("/image", content=content, headers=JSON)
            found = problem(response)
            assert found["status"] == status
            assert found["detail"]
            if loc:
                assert loc in {str(error["loc"][0]) for error in found["errors"]}
        # The connection is still usable.
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "value", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_of_another_type_is_refused(value: str | None, strict: Service) -> None:
    with strict.client() as client:
        headers = {} if value is None else {"Content-Type": value}
        assert problem(client.post("/image", content=b'{"prompt": "x"}', headers=headers))["status"] == 415


@pytest.mark.parametrize(
    "value",
    [
        b"Basic",
        b"Basic !",
        b"Basic YWxpY2U=",
        b"Basic /w==",
        b"Basic Og==",
        b"Bearer x",
        b"Basic \xff",
        b"x" * 20_000,
        b"",
    ],
)
def test_broken_credentials_are_refused_on_every_route(value: bytes, strict: Service) -> None:
    with strict.client() as client:
        for method, path in (("POST", "/image"), ("GET", "/image"), ("GET", "/healthz"), ("GET", "/nowhere")):
            headers = [(b"Authorization", value), (b"Content-Type", b"application/json")]
            response = client.request(method, path, content=b'{"prompt": "x"}', headers=headers)
            assert problem(response)["status"] == 401
            assert response.headers["www-authenticate"] == 'Basic realm="pixyproxy", charset="UTF-8"'
        good = b"Basic " + base64.b64encode(f"{ALICE[0]}:{ALICE[1]}".encode())
        response = client.get("/image", headers=[(b"Authorization", good), (b"Authorization", good)])
        assert problem(response)["status"] == 401


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "nonsense=1", "cursor=x", "prompt=%00", "prompt=%ED%A0%80", "prompt=%FF", "tag=", "guid=5",
     "status=x", "created_after=x", "author=%0A", "limit=1&limit=2", "prompt=" + "x" * 1001],
)  # fmt: skip
def test_a_malformed_query_is_described(query: str, strict: Service) -> None:
    with strict.client() as client:
        found = problem(client.get(f"/image?{query}"))
        assert (found["status"], found["code"]) == (422, "validation-failed")
        assert found["errors"][0]["msg"]


@pytest.mark.parametrize(
    "filename",
    [
        "\u202d",
        "CON",
        "a%2e%2e%2fb.png",
        "日本語🦆.png",
        "'; DROP TABLE images; --",
        "a\"b';=.png",
        "-rf",
        ".hidden",
        "ß" * 127,
    ],
)
def test_an_unusual_file_name_is_kept(filename: str, service: Service) -> None:
    with service.client(ALICE) as client:
        body: dict[str, Any] = {"prompt": "x", "size": "64x64", "filename": filename, "tags": [filename[:64]]}
        response = client.post("/image", json=body)
        if filename == "\u202d":
            assert problem(response)["status"] == 422
            return
        detail = response.json()
        assert (response.status_code, detail["filename"], detail["tags"]) == (200, filename, [filename[:64].lower()])
        listed = client.get("/image", params={"filename": filename, "tag": filename[:64]}).json()
        assert detail["guid"] in [found["guid"] for found in listed]
        assert client.get(detail["content_url"]).status_code == 200
        # All names on the disk are made from GUIDs.
        names = {file.stem for file in service.files()}
        assert all(len(name) == 36 for name in names)
        assert client.delete(f"/image/{detail['guid']}").status_code == 204


@pytest.mark.parametrize(
    "prompt", ["🦆" * 32_000, "a\nb\t\u200d", "'; DROP TABLE images; --", "\ufeff%s %(x)s :guid ?", "𝒳 \U0010ffff"]
)
def test_an_unusual_prompt_is_kept_exactly(prompt: str, service: Service) -> None:
    with service.client(ALICE) as client:
        detail = client.post("/image", json={"prompt": prompt, "size": "64x64"}).json()
        assert client.get(f"/image/{detail['guid']}").json()["prompt"] == prompt
        assert client.delete(f"/image/{detail['guid']}").status_code == 204


def exchange(service: Service, request: bytes, *, hang_up: bool = False) -> bytes:
    """Send raw bytes and return what the server sends back."""
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        response = b""
        while piece := connection.recv(65536):
            response += piece
        return response


LINES = [
    (b"GET /nowhere?\xff\xfe HTTP/1.1", b"400"),  # the server's own response: bytes like these are no address
    (b"GET /image?prompt=\xff HTTP/1.1", b"400"),
    (b"nonsense", b"400"),
    (b"GET / HTTP/9.9", b"400"),
    (b"BREW /image HTTP/1.1", b"400"),
    (b"GET /image/%00 HTTP/1.1", b"404"),
    (b"GET /image/%FF%FE HTTP/1.1", b"404"),
    (b"GET //image HTTP/1.1", b"404"),
    (b"GET /image/../../etc/passwd HTTP/1.1", b"404"),
    (b"GET /docs/assets/..%2f..%2f..%2f..%2fetc%2fpasswd HTTP/1.1", b"404"),
    (b"GET /docs/assets/%00 HTTP/1.1", b"404"),
    (b"OPTIONS * HTTP/1.1", b"404"),
    (b"GET http://other.example/image/5 HTTP/1.1", b"404"),
    (b"PROPFIND /image HTTP/1.1", b"405"),
]


@pytest.mark.parametrize(("line", "status"), LINES, ids=range(len(LINES)))
def test_malformed_requests_are_refused(line: bytes, status: bytes, strict: Service) -> None:
    response = exchange(strict, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert response.split(b" ", 2)[1:2] == [status], response
    assert b"Traceback" not in response


def test_a_host_header_cannot_inject_anything(strict: Service) -> None:
    for host in (b"a b", b"evil/x?", b"\xff", b"", b"x:99999"):
        response = exchange(strict, b"PUT /image HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        assert response.split(b" ", 2)[1] in {b"405", b"400"}, host


HALF = b'POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"prompt"'


@pytest.mark.parametrize("head", [b"", b"GET /image HT", HALF], ids=["nothing", "half a line", "half a body"])
def test_a_client_that_stops_midway_is_harmless(head: bytes, strict: Service) -> None:
    before = strict.log.count(" ERROR ")
    exchange(strict, head, hang_up=True)
    with strict.client() as client:
        assert client.get("/healthz").status_code == 200
    assert strict.log.count(" ERROR ") == before
