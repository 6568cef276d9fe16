"""The service behind a real nginx with the configuration in `deploy/nginx`, which sends the pictures."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

from tests.fixtures.nginx_server import PREFIX, Nginx, binary
from tests.fixtures.openai.behaviours import picture_of
from tests.fixtures.openai.gateway import Gateway, running_gateway
from tests.fixtures.requirements import missing
from tests.fixtures.service import PATIENCE_S, problem
from tests.fixtures.services import ALICE
from tests.fixtures.sql.mysql_servers import free_port

GALLERY = "https://gallery.example"
"""An origin that may read responses in a browser."""
SPEAKS_FOR_ITSELF = {"date", "server", "connection", "x-request-id", "accept-ranges"}


@dataclass
class Behind:
    """A gateway with nginx in front of it."""

    gateway: Gateway
    nginx: Nginx

    def client(self, auth: tuple[str, str] | None = None) -> httpx.Client:
        given = None if auth is None else httpx.BasicAuth(*(part.encode() for part in auth))
        return httpx.Client(base_url=self.nginx.url, auth=given, timeout=PATIENCE_S, trust_env=False, verify=False)

    def get(self, path: str, auth: tuple[str, str] | None = None, **headers: str) -> httpx.Response:
        """Send a GET request through nginx; header names have underscores for hyphens."""
        with self.client(auth) as client:
            return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def forwarded(self, path: str) -> int:
        """Return the number of requests for the content that reached the service, whose log omits the file name."""
        return self.gateway.service.log.count(f"REQUEST START GET {path.rpartition('/')[0]}/*\n")

    def get_directly(self, path: str) -> httpx.Response:
        """Send a GET request to the service directly and return its response, which nginx would act on."""
        with self.gateway.service.client() as client:
            return client.get(path)


@pytest.fixture(scope="module")
def nginx_binary() -> None:
    if binary() is None:
        missing("NGINX", "no nginx is installed here")


@pytest.fixture(scope="module")
def behind(nginx_binary: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with (
        running_gateway(
            tmp_path_factory.mktemp("nginx"), PIXYPROXY_ACCEL_PREFIX=PREFIX, PIXYPROXY_CORS_ORIGINS=GALLERY
        ) as gateway,
        Nginx(gateway.service.url, gateway.service.images_dir) as nginx,
    ):
        yield Behind(gateway, nginx)


def content_path(guid: str) -> str:
    return f"/image/{guid}/content/a%20duck.png"


def within_a_second() -> int:
    """Wait until most of a second is left, and return it: requests within it may share responses."""
    if time.time() % 1 > 0.3:
        wait_for_second(int(time.time()) + 1)
    return int(time.time())


def wait_for_second(second: int) -> None:
    """Wait until this second has begun for nginx too, whose clock only advances at events."""
    time.sleep(max(0.0, second + 0.02 - time.time()))


def test_nginx_sends_the_whole_picture_with_the_services_headers(behind: Behind) -> None:
    guid = behind.gateway.store("a whole duck 🦆", filename="Ente äö.png")
    data = picture_of("a whole duck 🦆")
    response = behind.get(content_path(guid))
    assert (response.status_code, response.content) == (200, data)
    headers = response.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(data))
    assert headers["cache-control"] == "public, max-age=3600"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("inline; filename=")
    assert headers.get_list("accept-ranges") == ["bytes"]
    assert headers["etag"] == f'"{behind.gateway.detail(guid)["sha256"]}"'
    assert headers["x-request-id"] in behind.gateway.service.log
    assert "x-accel-redirect" not in headers
    word = behind.get_directly(content_path(guid))
    assert (word.status_code, word.content) == (200, b"")
    assert word.headers["x-accel-redirect"] == f"{PREFIX}/{guid[:2]}/{guid[2:4]}/{guid}.bin"
    # The same headers as the service sends without a proxy.
    same = set(headers) & set(word.headers) - SPEAKS_FOR_ITSELF - {"content-length"}
    assert {name: headers[name] for name in same} == {name: word.headers[name] for name in same}
    assert set(word.headers) - set(headers) == {"x-accel-redirect", "x-accel-expires"}


def test_a_drawing_cannot_act_as_a_page_behind_nginx_either(behind: Behind) -> None:
    """nginx drops most headers of the service; it must keep this one."""
    assert "add_header Content-Security-Policy $upstream_http_content_security_policy;" in behind.nginx.configuration


def test_ranges_are_those_of_the_service(behind: Behind) -> None:
    guid = behind.gateway.store("a duck in parts")
    data, path = picture_of("a duck in parts"), content_path(guid)
    response = behind.get(path, range="bytes=5-9")
    assert (response.status_code, response.content) == (206, data[5:10])
    assert response.headers["content-range"] == f"bytes 5-9/{len(data)}"
    etag, date = response.headers["etag"], response.headers["last-modified"]
    assert etag == f'"{behind.gateway.detail(guid)["sha256"]}"'
    assert behind.get(path, range="bytes=-3").content == data[-3:]
    for condition in (etag, date):
        assert behind.get(path, range="bytes=5-9", if_range=condition).content == data[5:10]
    for condition in ('"other"', f"W/{etag}", "Sat, 21 Nov 2020 10:00:00 GMT"):
        response = behind.get(path, range="bytes=5-9", if_range=condition)
        assert (response.status_code, response.content) == (200, data)
    response = behind.get(path, range="bytes=0-1,5-9")
    assert (response.status_code, response.content) == (200, data)
    response = behind.get(path, range=f"bytes={len(data)}-")
    assert (response.status_code, problem(response)["code"]) == (416, "range-not-satisfiable")


def test_conditions_are_judged_by_the_service(behind: Behind) -> None:
    guid = behind.gateway.store("a duck that stays the same")
    data, path = picture_of("a duck that stays the same"), content_path(guid)
    whole = behind.get(path)
    etag, date = whole.headers["etag"], whole.headers["last-modified"]
    for headers in ({"if_none_match": etag}, {"if_none_match": "*"}, {"if_modified_since": date}):
        response = behind.get(path, **headers)
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag), headers
    before = "Sat, 21 Nov 2020 10:00:00 GMT"
    for headers in (
        {"if_none_match": '"other"'},
        {"if_modified_since": before},
        {"if_match": etag},
        {"if_match": "*"},
        {"if_unmodified_since": date},
    ):
        response = behind.get(path, **headers)
        assert (response.status_code, response.content, response.headers["etag"]) == (200, data, etag), headers
    for headers in ({"if_match": '"other"'}, {"if_unmodified_since": before}):
        assert behind.get(path, **headers).status_code == 412, headers


def test_tag_and_date_of_the_file_are_nothing_to_a_client(behind: Behind) -> None:
    guid = behind.gateway.store("a duck from a backup")
    file = behind.gateway.service.images_dir / guid[:2] / guid[2:4] / f"{guid}.bin"
    data, long_ago = picture_of("a duck from a backup"), 1_600_000_000
    os.utime(file, (long_ago, long_ago))
    for headers in (
        {"if_modified_since": formatdate(long_ago, usegmt=True)},
        {"if_none_match": f'"{long_ago:x}-{len(data):x}"'},
    ):
        response = behind.get(content_path(guid), **headers)
        assert (response.status_code, response.content) == (200, data), headers


def test_head_has_the_headers_of_get(behind: Behind) -> None:
    guid = behind.gateway.store("a duck from afar")
    with behind.client() as client:
        head, get = client.head(content_path(guid)), client.get(content_path(guid))
    assert (head.status_code, head.content) == (200, b"")
    different = SPEAKS_FOR_ITSELF - {"accept-ranges"}
    assert {name: value for name, value in head.headers.items() if name not in different} == {
        name: value for name, value in get.headers.items() if name not in different
    }


def test_a_private_picture_is_its_authors_alone(behind: Behind) -> None:
    guid = behind.gateway.store("a shy duck", visibility="private")
    response = behind.get(content_path(guid), ALICE)
    assert (response.status_code, response.content) == (200, picture_of("a shy duck"))
    assert response.headers["cache-control"] == "private, no-store"
    for headers in ({}, {"range": "bytes=0-1"}, {"if_none_match": "*"}):
        response = behind.get(content_path(guid), **headers)
        assert (response.status_code, problem(response)["code"]) == (404, "not-found")


def test_the_folder_of_pictures_is_not_accessible(behind: Behind) -> None:
    guid = behind.gateway.store("a guarded duck", visibility="private")
    inside = f"{PREFIX}/{guid[:2]}/{guid[2:4]}/{guid}.bin"
    for path in (inside, f"/.{inside}", inside.replace("/", "//", 1), f"/image/..{inside}", inside.replace("_", "%5F")):
        response = behind.get(path, ALICE)
        assert response.status_code == 404, path
        assert picture_of("a guarded duck") not in response.content
    assert behind.get(inside.replace(".bin", ".json")).status_code == 404


def test_missing_and_short_files_are_a_fault_of_the_service(behind: Behind) -> None:
    guid = behind.gateway.store("a duck that is lost")
    path = behind.gateway.service.images_dir / guid[:2] / guid[2:4] / f"{guid}.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    response = behind.get(content_path(guid))
    assert (response.status_code, problem(response)["code"]) == (500, "blob-corrupt")
    path.unlink()
    response = behind.get(content_path(guid))
    assert (response.status_code, problem(response)["code"]) == (500, "blob-missing")


def test_requests_in_the_same_second_share_a_response(behind: Behind) -> None:
    guid = behind.gateway.store("a duck that everybody wants")
    path = content_path(guid)
    for _ in range(10):
        second, count = within_a_second(), behind.forwarded(path)
        with behind.client() as client:
            answers = [client.get(path) for _ in range(30)]
        if int(time.time()) == second:
            break
    else:
        pytest.fail("thirty requests never came to an end within a second here")
    # The first response is not cached: most pictures are requested only once.
    assert behind.forwarded(path) == count + 2
    assert {response.content for response in answers} == {picture_of("a duck that everybody wants")}
    # The request id is in the log of the service.
    (request_id,) = {response.headers["x-request-id"] for response in answers[1:]}
    assert f" {request_id} " in behind.gateway.service.log
    wait_for_second(second + 1)
    assert behind.get(path).headers["x-request-id"] != request_id


def test_concurrent_requests_reach_the_service_once(behind: Behind) -> None:
    """All requests arrive before the first response; one that waits longer than nginx allows is forwarded too."""
    count = []
    for turn in range(5):
        path = content_path(behind.gateway.store(f"duck {turn} of a crowd"))
        connections = [socket.create_connection(("127.0.0.1", httpx.URL(behind.nginx.url).port)) for _ in range(16)]
        within_a_second()
        for connection in connections:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: ducks\r\n\r\n".encode())
        for connection in connections:
            with connection:
                assert connection.recv(12) == b"HTTP/1.1 200"
        count.append(behind.forwarded(path))
    assert min(count) == 2, count


def test_requests_with_credentials_or_conditions_are_not_shared(behind: Behind) -> None:
    guid = behind.gateway.store("a duck for each")
    path = content_path(guid)
    data = picture_of("a duck for each")
    second = within_a_second()
    etags = [behind.get(path).headers["etag"] for _ in range(2)]
    etag, count = etags[0], behind.forwarded(path)
    for status, content, headers in (
        (206, data[5:10], {"range": "bytes=5-9"}),
        (206, data[5:10], {"range": "bytes=5-9", "if_range": etag}),
        (304, b"", {"if_none_match": etag}),
        (304, b"", {"if_modified_since": formatdate(time.time() + 60, usegmt=True)}),
        (412, None, {"if_match": '"other"'}),
        (412, None, {"if_unmodified_since": "Sat, 21 Nov 2020 10:00:00 GMT"}),
        (200, data, {"cookie": "a=b"}),
        (200, data, {"x_request_id": "mine"}),
        (401, None, {"authorization": "Basic nonsense"}),
    ):
        response = behind.get(path, **headers)
        count += 1
        assert (response.status_code, behind.forwarded(path)) == (status, count), headers
        assert content is None or response.content == content, headers
    for auth in (ALICE, (ALICE[0], "wrong")):
        assert behind.get(path, auth).status_code == (200 if auth is ALICE else 401)
    for query in ("?", "?", "?", "?size=1", "?size=1", "?size=1"):
        assert behind.get(path + query).content == data
    assert behind.forwarded(path) == count + 8
    behind.get(path)
    # The response was cached all the time.
    assert behind.forwarded(path) == count + 8 or int(time.time()) > second


def test_a_private_picture_is_never_shared(behind: Behind) -> None:
    prompt = "a duck behind a curtain"
    with behind.client() as client:
        made = client.post(
            "/v1/images/generations",
            json={"model": "gpt-image-2", "prompt": prompt, "visibility": "private", "response_format": "url"},
            headers={"Authorization": f"Bearer {behind.gateway.key}"},
        )
    signed = httpx.URL(made.json()["data"][0]["url"])
    path = signed.path
    within_a_second()
    # A response to an authorised caller must not be cached for others.
    for _ in range(3):
        response = behind.get(path, ALICE)
        assert (response.status_code, response.content) == (200, picture_of(prompt))
        assert problem(behind.get(path))["code"] == "not-found"
        response = behind.get(f"{path}?{signed.query.decode()}")
        assert (response.status_code, response.content) == (200, picture_of(prompt))
        assert response.headers["cache-control"] == "private, no-store"
        for query in ("", "?", f"?{signed.query.decode()}0"):
            assert problem(behind.get(path + query))["code"] == "not-found", query
    with behind.gateway.service.client(ALICE) as client:
        assert "x-accel-expires" not in client.get(path).headers


def test_a_shared_request_carries_no_credentials(behind: Behind) -> None:
    """nginx ignores an empty header: the service must not receive it either."""
    path = content_path(behind.gateway.store("a duck that asks for others"))
    assert behind.get(path, authorization="").status_code == 200


def test_a_picture_that_becomes_private_is_gone_after_the_second(behind: Behind) -> None:
    path = content_path(behind.gateway.store("a duck that withdraws"))
    second = within_a_second()
    assert [behind.get(path).status_code for _ in range(2)] == [200, 200]
    with behind.client(ALICE) as client:
        assert client.patch(path.partition("/content")[0], json={"visibility": "private"}).status_code == 200
    assert behind.get(path, ALICE).status_code == 200
    wait_for_second(second + 1)
    response = behind.get(path)
    assert (response.status_code, problem(response)["code"]) == (404, "not-found")


def test_a_picture_that_is_deleted_is_gone_at_once(behind: Behind) -> None:
    path = content_path(behind.gateway.store("a duck that leaves"))
    within_a_second()
    assert [behind.get(path).status_code for _ in range(2)] == [200, 200]
    with behind.client(ALICE) as client:
        assert client.delete(path.partition("/content")[0]).status_code == 204
    response = behind.get(path)
    assert (response.status_code, problem(response)["code"]) == (404, "not-found")
    # nginx has added the headers of the picture, but no cache may store the response.
    assert "no-store" in response.headers["cache-control"]


def test_errors_are_not_cached(behind: Behind) -> None:
    guid = behind.gateway.store("a duck that comes back")
    file = behind.gateway.service.images_dir / guid[:2] / guid[2:4] / f"{guid}.bin"
    data = file.read_bytes()
    file.unlink()
    path = content_path(guid)
    within_a_second()
    for count in (1, 2, 3):
        assert problem(behind.get(path))["code"] == "blob-missing"
        assert behind.forwarded(path) == count
    file.write_bytes(data)
    assert behind.get(path).content == data


def test_cors_headers_of_the_service_reach_other_origins(behind: Behind) -> None:
    path = content_path(behind.gateway.store("a duck in a gallery"))
    within_a_second()
    for _ in range(3):
        response = behind.get(path, origin=GALLERY)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == GALLERY
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]
        assert response.headers["vary"] == "Origin"
        for headers in ({}, {"origin": "https://other.example"}):
            response = behind.get(path, **headers)
            assert (response.status_code, response.headers["vary"]) == (200, "Origin")
            assert "access-control-allow-origin" not in response.headers


def test_clients_of_http_1_0_are_served(behind: Behind) -> None:
    path = content_path(behind.gateway.store("a duck of old"))
    with socket.create_connection(("127.0.0.1", httpx.URL(behind.nginx.url).port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: ducks\r\n\r\n".encode())
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(picture_of("a duck of old"))


def test_nothing_is_cached_if_the_service_sends_the_pictures(behind: Behind, tmp_path: Path) -> None:
    with (
        running_gateway(tmp_path / "sends") as gateway,
        Nginx(gateway.service.url, gateway.service.images_dir) as nginx,
    ):
        beside = Behind(gateway, nginx)
        path = content_path(gateway.store("a duck from hand to hand"))
        within_a_second()
        for count in (1, 2, 3):
            assert beside.get(path).content == picture_of("a duck from hand to hand")
            assert beside.forwarded(path) == count
        assert not [found for found in nginx.answers.rglob("*") if found.is_file()]


def test_responses_that_cannot_be_cached_are_delivered(behind: Behind) -> None:
    path = content_path(behind.gateway.store("a duck without a nest"))
    with Nginx(behind.gateway.service.url, behind.gateway.service.images_dir) as nginx:
        shutil.rmtree(nginx.answers)
        nestless = Behind(behind.gateway, nginx)
        for _ in range(3):
            assert nestless.get(path).content == picture_of("a duck without a nest")


def test_requests_fail_while_the_service_is_down(behind: Behind) -> None:
    path = content_path(behind.gateway.store("a duck out of reach"))
    with Nginx(f"http://127.0.0.1:{free_port()}", behind.gateway.service.images_dir) as nginx:
        alone = Behind(behind.gateway, nginx)
        assert [alone.get(path).status_code, alone.get(path, ALICE).status_code] == [502, 502]


def test_events_arrive_one_by_one(behind: Behind) -> None:
    """The upstream continues only after the client got the first event, so a buffering proxy would hang."""
    seen = threading.Event()
    behind.gateway.hold(seen.is_set, "held then=stream after=1")
    body = {"model": "gpt-image-2", "prompt": "a duck in stages", "stream": True, "partial_images": 1}
    bearer = {"Authorization": f"Bearer {behind.gateway.key}"}
    events = []
    with (
        behind.client() as client,
        client.stream("POST", "/v1/images/generations", json=body, headers=bearer) as response,
    ):
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("event: "):
                events.append(line.removeprefix("event: "))
                seen.set()
    assert events == ["image_generation.partial_image", "image_generation.completed"]


def test_an_edit_with_a_large_file_is_forwarded(behind: Behind) -> None:
    data = picture_of("a large duck", size=5_000_000)
    with behind.client() as client:
        response = client.post(
            "/v1/images/edits",
            data={"model": "gpt-image-2", "prompt": "a larger duck", "response_format": "url"},
            files={"image": ("duck.png", data, "image/png")},
            headers={"Authorization": f"Bearer {behind.gateway.key}"},
        )
    assert response.status_code == 200, response.text
    # URLs have the address of nginx, which forwards its Host.
    url = response.json()["data"][0]["url"]
    assert url.startswith(f"{behind.nginx.url}/image/")
    assert behind.get(url).status_code == 200
