"""The client: proxies and certificates of the environment, and nothing else of it, apply to every call."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.picture_hosts import PictureHost
from pixyproxy.domain.errors import GeneratorError, GeneratorResponseError, GeneratorUnavailableError
from pixyproxy.domain.generation import GenerationRequest
from tests.fixtures.certificates import certificate
from tests.fixtures.generation import generated
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.upstream import FakeUpstream, RefusingPort

KEY = "sk-test-0123456789abcdef"
REQUEST = GenerationRequest(prompt="a duck")
CREDENTIALS = "Basic " + base64.b64encode(b"user:p@ss").decode()
PICTURE = picture("a duck")
DOCUMENT = b'{"data":[{"b64_json":"%s"}]}' % base64.b64encode(PICTURE)
ANSWER = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: %d\r\n\r\n%s" % (len(DOCUMENT), DOCUMENT)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """Server that records the head of each request and continues with `then`."""

    def __init__(self, then: Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.heads: list[str] = []
        self.port = 0
        self._then = then

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            await self._then(head, reader, writer)
        writer.close()

    def headers(self, number: int = 0) -> dict[str, str]:
        lines = self.heads[number].strip().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def answer(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER)
    await writer.drain()


async def tunnel(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve CONNECT like a proxy."""
    method, target, _ = head.split(" ", 2)
    assert method == "CONNECT"
    host, port = target.split(":")
    there = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pipe((reader, there[1])), pipe((there[0], writer)))


async def pipe(streams: Streams) -> None:
    reader, writer = streams
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def refuse(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def opened(base_url: str, **arguments: float) -> AsyncIterator[OpenAIImageGenerator]:
    generator = OpenAIImageGenerator(KEY, base_url, "gpt-image-2", retry_delays_s=(0.01,), **arguments)
    await generator.open()
    try:
        yield generator
    finally:
        await generator.close()


async def with_key_only(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a generation with the address of its picture, which is given to those who send the key."""
    if head.startswith("POST"):
        body = b'{"data":[{"url":"/files/1.png"}]}'
    elif "uthorization: " not in head:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return
    else:
        body = PICTURE
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()


async def test_a_picture_of_the_upstream_is_fetched_with_the_key_if_it_is_refused_without() -> None:
    async with Server(with_key_only).running() as server, opened(f"http://127.0.0.1:{server.port}/v1") as generator:
        assert [image.data for image in await generated(generator, REQUEST)] == [PICTURE]
    assert [server.headers(number).get("authorization") for number in (1, 2)] == [None, f"Bearer {KEY}"]
    assert len(server.heads) == 3


async def test_another_host_never_gets_the_key() -> None:
    async def redirect(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head.startswith("GET"):
            status = b"302 Found" if "uthorization: " in head else b"401 Unauthorized"
            location = b"http://localhost:%d/files/1.png" % elsewhere.port
            writer.write(b"HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location))
            return
        await with_key_only(head, reader, writer)

    async with Server(with_key_only).running() as elsewhere, Server(redirect).running() as server:
        hosts = (PictureHost("localhost"),)
        generator = OpenAIImageGenerator(KEY, f"http://127.0.0.1:{server.port}/v1", "m", picture_hosts=hosts)
        await generator.open()
        with pytest.raises(GeneratorResponseError):
            await generated(generator, REQUEST)
        await generator.close()
    assert len(server.heads) == 3
    assert [head for head in elsewhere.heads if KEY in head] == []
    assert len(elsewhere.heads) == 1


async def test_a_page_is_no_list_of_models() -> None:
    async def page(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 2\r\n\r\nhi")

    async with Server(page).running() as server, opened(f"http://127.0.0.1:{server.port}") as generator:
        for call in (generator.check, generator.models):
            with pytest.raises(GeneratorUnavailableError, match=r"answers with a page.*OPENAI_BASE_URL"):
                await call()


async def test_a_generation_has_these_headers_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login stolen password stolen\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Environment: 1")
    async with Server(answer).running() as server, opened(f"http://127.0.0.1:{server.port}/v1") as generator:
        for _ in range(2):  # the second would bring back the cookie
            [image] = await generated(generator, REQUEST)
            assert image.data == PICTURE
        await generator.check()
    common = {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "pixyproxy",
        "authorization": f"Bearer {KEY}",
    }
    for number in (0, 1):
        headers = server.headers(number)
        assert int(headers.pop("content-length")) > 0
        assert headers == common | {"content-type": "application/json"}
    assert server.headers(2) == common


async def test_a_picture_is_fetched_without_credentials(upstream: FakeUpstream) -> None:
    upstream.script("url")
    async with opened(upstream.base_url) as generator:
        await generated(generator, REQUEST)
    assert upstream.requests[1].headers == {
        "host": f"127.0.0.1:{upstream.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "pixyproxy",
    }


@pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy"])
async def test_a_proxy_receives_the_whole_address(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(answer).running() as proxy:
        monkeypatch.setenv(name, f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        async with opened("http://no-such-host.invalid/v1") as generator:
            [image] = await generated(generator, REQUEST)
    assert image.data == PICTURE
    assert proxy.heads[0].startswith("POST http://no-such-host.invalid/v1/images/generations HTTP/1.1\r\n")
    headers = proxy.headers()
    assert (headers["host"], headers["proxy-authorization"]) == ("no-such-host.invalid", CREDENTIALS)


@pytest.mark.parametrize(
    ("no_proxy", "is_direct"),
    [("127.0.0.1", True), ("example.com, 127.0.0.1", True), ("*", True), ("", False), ("example.com", False)],
)
async def test_no_proxy_is_respected(
    no_proxy: str, is_direct: bool, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(answer).running() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        async with opened(upstream.base_url) as generator:
            assert await generated(generator, REQUEST)
    assert (len(proxy.heads), len(upstream.requests)) == ((0, 1) if is_direct else (1, 0))


async def test_tls_is_tunnelled_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with Server(answer).running(context) as server, Server(tunnel).running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"user:p%40ss@127.0.0.1:{proxy.port}")
        async with opened(f"https://127.0.0.1:{server.port}/v1") as generator:
            for _ in range(2):
                [image] = await generated(generator, REQUEST)
                assert image.data == PICTURE
    assert len(server.heads) == len(proxy.heads) == 2
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert proxy.headers()["proxy-authorization"] == CREDENTIALS
    assert KEY not in proxy.heads[0]
    assert "proxy-authorization" not in server.headers()


@pytest.mark.parametrize("head", ["", "Transfer-Encoding: chunked\r\n", f"Content-Length: {len(DOCUMENT) + 9}\r\n"])
async def test_tls_that_breaks_off_without_a_word_costs_no_picture(
    head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(_: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b"%x\r\n%s\r\n" % (len(DOCUMENT), DOCUMENT) if "chunked" in head else DOCUMENT
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()  # TCP ends, and TLS has not said that it would

    file, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with Server(break_off).running(context) as server, opened(f"https://127.0.0.1:{server.port}/v1") as generator:
        assert [image.data for image in await generated(generator, REQUEST)] == [PICTURE]
    assert len(server.heads) == 1


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", None])
async def test_a_certificate_of_the_environment_is_trusted(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate(tmp_path)
    if name:
        monkeypatch.setenv(name, str(file))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of a failed handshake
    async with Server(answer).running(context) as server, opened(f"https://127.0.0.1:{server.port}/v1") as generator:
        if name:
            assert await generated(generator, REQUEST)
        else:
            with pytest.raises(GeneratorUnavailableError):
                await generated(generator, REQUEST)


async def test_a_refusing_or_unreachable_proxy_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(refuse).running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hush@127.0.0.1:{proxy.port}")
        async with opened("https://no-such-host.invalid/v1") as generator:
            with pytest.raises(GeneratorUnavailableError) as caught:
                await generated(generator, REQUEST)
    assert len(proxy.heads) == 1
    assert "hush" not in caught.value.message
    with RefusingPort() as address:
        monkeypatch.setenv("HTTPS_PROXY", address.removesuffix("/v1"))
        async with opened("https://no-such-host.invalid/v1") as generator:
            with pytest.raises(GeneratorUnavailableError, match="cannot be reached"):
                await generated(generator, REQUEST)


@pytest.mark.parametrize(
    "proxy", ["socks5://user:hush@127.0.0.1:1", "ftp://user:hush@127.0.0.1:1", "http://user:hush@p:x"]
)
async def test_an_unusable_proxy(
    proxy: str, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(GeneratorUnavailableError, match="ALL_PROXY") as caught:
        await OpenAIImageGenerator(KEY, upstream.base_url, "m").open()
    assert "hush" not in caught.value.message + caplog.text
    assert upstream.requests == []


async def test_a_query_of_the_base_url_is_kept() -> None:
    async with (
        Server(answer).running() as server,
        opened(f"http://127.0.0.1:{server.port}/a%20b/?api-version=1") as generator,
    ):
        await generated(generator, REQUEST)
        await generator.check()
    assert server.heads[0].startswith("POST /a%20b/images/generations?api-version=1 HTTP/1.1\r\n")
    assert server.heads[1].startswith("GET /a%20b/models?api-version=1 HTTP/1.1\r\n")


async def test_no_connection_stays_open(upstream: FakeUpstream) -> None:
    upstream.script("ok", "empty", "reset-mid-body", "hang")
    async with opened(upstream.base_url, timeout_s=20) as generator:
        assert generator._resources is not None
        client = generator._resources.upstream
        await generated(generator, REQUEST)
        await generator.check()
        for _ in range(2):
            with pytest.raises(GeneratorError):
                await generated(generator, REQUEST)
        assert client._open == set()
        waiting = asyncio.create_task(generated(generator, REQUEST))
        while not client._open and not waiting.done():
            await asyncio.sleep(0.01)
    with pytest.raises(GeneratorError):
        await waiting
    assert client._open == set()
