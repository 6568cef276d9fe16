"""The hosts that are answered, and addresses that are made from no other: the real service, over raw sockets."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures.http_app import http_app
from tests.fixtures.nginx_server import Nginx, binary
from tests.fixtures.requirements import missing
from tests.fixtures.service import PATIENCE_S, Service, pixyproxy

TRUSTED = "pictures.example.org, *.Example.com, [2001:db8::1], bücher.example"
PUBLIC = "https://public.example:8443/pixy"
BODY = b'{"prompt": "a duck", "size": "32x32"}'
JSON = b"Content-Type: application/json\r\n"


@dataclass
class Answer:
    """A response as it came over the socket."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def code(self) -> Any:
        return json.loads(self.body)["code"]


def sent(service: Service, request: bytes) -> Answer:
    """Send a request and read the response to its end."""
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    start, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(start.split()[1]), fields, received.partition(b"\r\n\r\n")[2])


def get(service: Service, target: str, *hosts: str, version: str = "1.1", more: str = "") -> Answer:
    """Send a GET request with these Host fields."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    return sent(service, f"GET {target} HTTP/{version}\r\n{lines}{more}Connection: close\r\n\r\n".encode("latin-1"))


def post(service: Service, path: str, host: str | None, body: bytes = BODY, *, version: str = "1.1") -> Answer:
    """Send a request for a picture."""
    line = "" if host is None else f"Host: {host}\r\n"
    head = f"POST {path} HTTP/{version}\r\n{line}Connection: close\r\nContent-Length: {len(body)}\r\n".encode()
    return sent(service, head + JSON + b"\r\n" + body)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service that trusts some hosts."""
    with Service(
        tmp_path_factory.mktemp("hosts"),
        PIXYPROXY_TRUSTED_HOSTS=TRUSTED,
        PIXYPROXY_CORS_ORIGINS="https://gallery.example",
        PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def any_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service that answers every host."""
    with Service(tmp_path_factory.mktemp("any"), PIXYPROXY_FORWARDED_ALLOW_IPS="127.0.0.1") as running:
        yield running


@pytest.mark.parametrize(
    "host",
    [
        "pictures.example.org",
        "PICTURES.example.org:8443",
        "pictures.example.org.",
        "a.example.com",
        "a.b.example.com:80",
        "[2001:DB8:0::1]:8001",
        "xn--bcher-kva.example",
        "pictures.example.org:",
    ],
)
def test_trusted_hosts_are_answered_on_any_port(service: Service, host: str) -> None:
    assert get(service, "/image", host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1:8001",
        "localhost",
        "example.com",
        "xexample.com",
        "example.org",
        "a.pictures.example.org",
        "pictures.example.org.evil.example",
        "[2001:db8::2]",
    ],
)
def test_other_hosts_are_misdirected(service: Service, host: str) -> None:
    answer = get(service, "/image", host)
    assert (answer.status, answer.code) == (421, "unknown-host")
    assert answer.fields["content-type"] == "application/problem+json"
    assert "PIXYPROXY_TRUSTED_HOSTS" in json.loads(answer.body)["detail"]


def test_nothing_is_made_for_another_host(service: Service) -> None:
    before = json.loads(get(service, "/image", "pictures.example.org").body)
    assert post(service, "/image", "evil.example").code == "unknown-host"
    answer = post(service, "/v1/images/generations", "evil.example")
    assert (answer.status, json.loads(answer.body)["error"]["type"]) == (421, "invalid_request_error")
    assert json.loads(get(service, "/image", "pictures.example.org").body) == before
    assert post(service, "/nowhere", "evil.example").status == 421


def test_a_preflight_for_another_host_is_refused(service: Service) -> None:
    ask = "OPTIONS /image HTTP/1.1\r\nOrigin: https://gallery.example\r\nAccess-Control-Request-Method: POST\r\n"
    for host, status in (("pictures.example.org", 200), ("evil.example", 421)):
        assert sent(service, f"{ask}Host: {host}\r\nConnection: close\r\n\r\n".encode()).status == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz/", "/readyz?a=b"])
def test_probes_are_answered_for_any_host(service: Service, path: str) -> None:
    assert get(service, path, "10.0.0.7:8001").status == 200


MALFORMED = [
    *("", " ", ":80", "a b", "a/b", "user@pictures.example.org", "http://pictures.example.org", "a,b", "a..b", ".a"),
    *("a:b", "a:80:80", "a:65536", "a:000080", "[::1", "[::1]80", "[::1]:x", "::1", "[fe80::1%25eth0]", "[1.2.3.4]"),
    *("*.example.com", "bücher.example", "a%2eb", "x" * 256, "²", "a:²"),
]


@pytest.mark.parametrize("path", ["/image", "/healthz"])
@pytest.mark.parametrize("hosts", [(), ("a", "a"), ("a", "b"), *((host,) for host in MALFORMED)], ids=str)
def test_a_request_has_exactly_one_well_formed_host(any_host: Service, path: str, hosts: tuple[str, ...]) -> None:
    answer = get(any_host, path, *hosts)
    assert (answer.status, answer.code) == (400, "malformed-request")
    assert "Host field" in json.loads(answer.body)["detail"]


def test_a_request_of_http_1_0_may_leave_the_host_out(service: Service, any_host: Service) -> None:
    for running in (service, any_host):
        made = post(running, "/image", None, version="1.0")
        detail = json.loads(made.body)
        assert (made.status, made.fields["location"]) == (200, f"/image/{detail['guid']}")
        post(running, "/image", None, version="1.0")
        assert get(running, "/image?limit=1", version="1.0").fields["link"].startswith("</image?limit=1&cursor=")
    assert get(service, "/image", "evil.example", version="1.0").status == 421
    for hosts in (("a", "b"), ("a b",)):
        assert get(any_host, "/image", *hosts, version="1.0").status == 400


@pytest.mark.parametrize(
    ("target", "hosts", "status"),
    [
        ("http://pictures.example.org/image", ("evil.example",), 200),
        ("http://pictures.example.org:8443/image?limit=1", ("evil.example",), 200),
        ("HTTP://a.example.com?limit=1", ("a.example.com",), 200),
        ("http://evil.example/image", ("pictures.example.org",), 421),
        ("http://evil.example/healthz", ("pictures.example.org",), 200),
        ("http://evil.example?/image", ("pictures.example.org",), 421),
        ("http://pictures.example.org@evil.example/image", ("pictures.example.org",), 400),
        ("http://pictures.example.org/image", (), 400),
        ("http://pictures.example.org/image", ("pictures.example.org", "pictures.example.org"), 400),
        ("/image?next=http://evil.example/", ("pictures.example.org",), 422),
    ],
)
def test_the_host_of_an_absolute_target_goes_before_the_field(
    service: Service, target: str, hosts: tuple[str, ...], status: int
) -> None:
    assert get(service, target, *hosts).status == status


def test_an_absolute_target_of_http_1_0_has_a_host(service: Service) -> None:
    assert get(service, "http://pictures.example.org/image", version="1.0").status == 200
    assert get(service, "http://evil.example/image", version="1.0").status == 421


def test_an_absolute_target_that_offers_an_upgrade_keeps_its_host(service: Service) -> None:
    offer = "Connection: Upgrade\r\nUpgrade: h2c\r\n"
    assert get(service, "http://evil.example/image", "pictures.example.org", more=offer).status == 421
    assert get(service, "http://pictures.example.org/image", "evil.example", more=offer).status == 200


URLS = b'{"prompt": "a duck", "size": "32x32", "response_format": "url"}'


def addresses(running: Service, host: str) -> list[str]:
    """Return Location, Link and a signed address as they are handed out to a request for this host."""
    location = post(running, "/image", host).fields["location"]
    signed = json.loads(post(running, "/v1/images/generations", host, URLS).body)["data"][0]["url"]
    link = get(running, "/image?limit=1", host).fields["link"].partition(">")[0].removeprefix("<")
    return [location, signed, link]


def test_addresses_begin_with_the_trusted_host(service: Service) -> None:
    for address in addresses(service, "a.example.com:8443"):
        assert address.startswith("http://a.example.com:8443/image"), address


def test_without_trusted_hosts_addresses_begin_with_the_host_of_the_request(any_host: Service) -> None:
    for address in addresses(any_host, "whatever.example"):
        assert address.startswith("http://whatever.example/image"), address


def test_the_host_of_the_public_url_is_trusted_and_addresses_begin_with_it(tmp_path: Path) -> None:
    values = {"PIXYPROXY_TRUSTED_HOSTS": "pictures.example.org", "PIXYPROXY_PUBLIC_URL": PUBLIC}
    with Service(tmp_path, **values) as running:
        for host in ("pictures.example.org", "public.example"):
            for address in addresses(running, host):
                assert address.startswith(f"{PUBLIC}/image"), address
        assert get(running, "/image", "evil.example").status == 421
        assert "  hosts       pictures.example.org, public.example\n" in running.announced
        assert f"(the API is shown at {PUBLIC}/docs)" in running.announced
        assert f"curl {PUBLIC}/image" in running.announced


def test_the_public_url_alone_refuses_no_host(tmp_path: Path) -> None:
    with Service(tmp_path, PIXYPROXY_PUBLIC_URL=PUBLIC) as running:
        assert get(running, "/image", "evil.example").status == 200
        assert "hosts  " not in running.announced


def test_the_start_block_shows_no_address_that_is_refused(service: Service) -> None:
    assert "/docs" not in service.announced
    assert "curl" not in service.announced
    assert (
        "  hosts       pictures.example.org, *.example.com, [2001:db8::1], xn--bcher-kva.example" in service.announced
    )


def test_a_forwarded_host_is_checked_like_any(service: Service) -> None:
    for forwarded, status in (("pictures.example.org", 200), ("evil.example", 421), ("a b", 200)):
        more = f"X-Forwarded-Host: {forwarded}\r\n"
        assert get(service, "/image", "a.example.com", more=more).status == status, forwarded
    trusted = "X-Forwarded-Host: pictures.example.org\r\n"
    assert get(service, "/image", "127.0.0.1:8001", more=trusted).status == 200
    # It goes in the place of one field, and does not hide several.
    assert get(service, "/image", "a.example.com", "a.example.com", more=trusted).status == 400


def test_a_forwarded_host_is_nothing_where_it_is_not_believed(tmp_path: Path) -> None:
    with Service(tmp_path, PIXYPROXY_TRUSTED_HOSTS="pictures.example.org") as running:
        more = "X-Forwarded-Host: {}\r\n"
        assert get(running, "/image", "pictures.example.org", more=more.format("evil.example")).status == 200
        assert get(running, "/image", "evil.example", more=more.format("pictures.example.org")).status == 421


async def test_the_document_names_the_refusal() -> None:
    async with http_app() as app:
        document = (await app.client.get("/openapi.json")).json()
    for path, method in (("/image", "post"), ("/image", "get"), ("/v1/images/generations", "post")):
        assert "PIXYPROXY_TRUSTED_HOSTS" in document["paths"][path][method]["responses"]["421"]["description"]


@pytest.mark.parametrize("trusted", ["pictures.example.org", "*.example.org"])
def test_commands_find_the_running_service_by_a_trusted_host(tmp_path: Path, trusted: str) -> None:
    with Service(tmp_path / "service", PIXYPROXY_TRUSTED_HOSTS=trusted) as running:
        (tmp_path / "other").mkdir()
        values = {"PIXYPROXY_PORT": running.url.rpartition(":")[2], "PIXYPROXY_TRUSTED_HOSTS": trusted}
        done = pixyproxy(tmp_path / "other", "user", "add", "bob", stdin="a password of many words\n", **values)
    assert done.returncode == 0
    assert "does not know bob: it keeps its users elsewhere" in done.stderr


@pytest.fixture
def nginx_binary() -> None:
    if binary() is None:
        missing("NGINX", "no nginx is installed here")


def test_nginx_ends_connections_for_other_hosts(nginx_binary: None, tmp_path: Path) -> None:
    with Service(tmp_path) as running, Nginx(running.url, tmp_path / "images") as nginx:
        port = httpx.URL(nginx.url).port
        for request, answered in (
            ("GET /healthz HTTP/1.1\r\nHost: ducks:80\r\nConnection: close\r\n\r\n", True),
            ("GET http://ducks/healthz HTTP/1.1\r\nHost: ducks\r\nConnection: close\r\n\r\n", True),
            ("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", False),
            ("GET http://evil.example/healthz HTTP/1.1\r\nHost: ducks\r\n\r\n", False),
            ("GET /healthz HTTP/1.0\r\n\r\n", False),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
                connection.sendall(request.encode())
                received = b"".join(iter(lambda: connection.recv(65536), b""))
            assert (received.startswith(b"HTTP/1.1 200"), received == b"") == (answered, not answered), request
        log = running.log
    assert "evil" not in log
