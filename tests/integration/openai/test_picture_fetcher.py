"""Pictures behind addresses: downloaded at once if that is safe; otherwise the address is kept."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvloop
from httpx2 import URL

from pixyproxy.adapters.openai import picture_fetcher
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.picture_fetcher import OPENAI_PICTURE_HOSTS, PictureFetcher, PictureHostRefusedError
from pixyproxy.adapters.openai.picture_hosts import PictureHost
from pixyproxy.adapters.openai.upstream_client import UpstreamClient
from pixyproxy.domain.errors import GeneratorResponseError, GeneratorUnavailableError
from pixyproxy.domain.generation import GenerationRequest
from tests.fixtures.generation import generated, generated_until_error
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.upstream import PICTURES, FakeUpstream

KEY = "sk-test-0123456789abcdef"
REQUEST = GenerationRequest(prompt="a duck")
EXPECTED = picture("behind an address")
MIB = 1024 * 1024


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def elsewhere() -> Iterator[FakeUpstream]:
    """Run another origin: the same machine with another port."""
    with FakeUpstream() as elsewhere:
        yield elsewhere


@pytest.fixture
async def generator(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2", timeout_s=2.0)
    await generator.open()
    yield generator
    await generator.close()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_fetcher, "RETRY_DELAYS_S", (0.01, 0.02))


def fetched(upstream: FakeUpstream) -> list[str]:
    return [request.path for request in upstream.requests if request.path.startswith(PICTURES)]


async def test_fetches_from_the_upstream_itself_without_the_key(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pixyproxy")
    upstream.script(f"url to={upstream.base_url}/pictures/ok?signature=hush", "url to=/v1/pictures/ok", "url")
    for _ in range(3):
        [image] = await generated(generator, REQUEST)
        assert image.data == EXPECTED
        assert image.model == "gpt-image-2"
    assert len(fetched(upstream)) == 3
    assert len(upstream.charges) == 3
    for request in upstream.requests:
        assert ("authorization" in request.headers) == (request.method == "POST")
    assert "hush" not in caplog.text


async def test_addresses_may_be_written_in_several_ways(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    for to in ("HTTP://127.0.0.1:{port}/v1/pictures/ok", "http://127.0.0.1:{port}/v1/pictures/ok?a=1&amp;b=2",
               "http://127.0.0.1:{port}/v1/./pictures/x/../ok#part", "//127.0.0.1:{port}/v1/pictures/ok",
               "![a](http://127.0.0.1:{port}/v1/pictures/ok)"):  # fmt: skip
        upstream.script(f"url to={to.format(port=upstream.port)}")
        assert [image.data for image in await generated(generator, REQUEST)] == [EXPECTED]
    assert fetched(upstream)[1].endswith("?a=1&b=2")


@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.1:{port}/v1/pictures/ok", "http://localhost:{port}/v1/pictures/ok", "//localhost:{port}/x",
     "https://127.0.0.1:{own}/v1/pictures/ok", "http://user:pass@127.0.0.1:{own}/v1/pictures/ok", "file:///etc/passwd",
     "ftp://127.0.0.1/x", "http://", "http://127.0.0.1:{own}@localhost:{port}/x", "http://[::1]:{port}/x", "http://x:y/",
     "https://blob.core.windows.net/x", "https://evil-oaidalleapiprodscus.blob.core.windows.net/x"],
)  # fmt: skip
async def test_fetches_from_nowhere_else(
    upstream: FakeUpstream, elsewhere: FakeUpstream, generator: OpenAIImageGenerator, to: str
) -> None:
    address = to.format(port=elsewhere.port, own=upstream.port)
    upstream.script(f"url to={address}")
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, REQUEST)
    assert elsewhere.requests == []
    assert fetched(upstream) == []
    assert caught.value.raw == address.encode()


# aiohttp resolves no address literals, and uvloop connects to one without its zone.
ZONED = f"http://[::ffff:127.0.0.1%25.{OPENAI_PICTURE_HOSTS[0].name}]"


@pytest.mark.parametrize(
    "address",
    [ZONED, "http://[::1%25.example.com]", "http://[::1%.example.com]", "https://[fe80::1%25.example.com]",
     "http://127.0.0.1%25.example.com", "http://127.0.0.1", "http://[::1]", "http://[::ffff:127.0.0.1]"],
)  # fmt: skip
async def test_an_ipv6_zone_is_not_an_allowed_host(elsewhere: FakeUpstream, address: str) -> None:
    base = URL("http://upstream.test/v1")
    upstream = UpstreamClient(KEY, base, 2.0)
    fetcher = PictureFetcher(upstream, base, (PictureHost("example.com"), PictureHost("*.example.com")))
    address = f"{address}:{elsewhere.port}/v1/pictures/ok"
    with pytest.raises(GeneratorResponseError) as caught:
        await fetcher.fetch(address, asyncio.get_running_loop().time() + 2.0)
    assert caught.value.raw == address.encode()
    assert elsewhere.requests == []
    await upstream.close()


def test_no_ipv6_zone_leads_to_this_machine_under_uvloop(upstream: FakeUpstream, elsewhere: FakeUpstream) -> None:
    async def generate() -> None:
        generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2", timeout_s=2.0)
        await generator.open()
        try:
            await generated(generator, REQUEST)
        finally:
            await generator.close()

    upstream.script(f"url to={ZONED}:{elsewhere.port}/v1/pictures/ok")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(GeneratorResponseError):
        runner.run(generate())
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "host",
    ["xn--a.localhost", "a" * 70 + ".localhost", "a@[b: ]", "[::1]a@", "a..localhost", "localhost\n", "é%00.localhost"],
)
async def test_an_invalid_host_keeps_the_address(upstream: FakeUpstream, host: str) -> None:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2", picture_hosts=(PictureHost("localhost"),))
    await generator.open()
    document = {"data": [{"url": f"http://{host}:{upstream.port}/v1/pictures/ok"}]}
    upstream.script(f"error status=200 body={json.dumps(document).replace(' ', '')}")
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, REQUEST)
    await generator.close()
    assert fetched(upstream) == []
    assert caught.value.raw is not None


async def test_fetches_from_an_allowed_host(upstream: FakeUpstream, elsewhere: FakeUpstream) -> None:
    generator = OpenAIImageGenerator(
        KEY, upstream.base_url, "gpt-image-2", picture_hosts=(PictureHost.parse("LocalHost"),)
    )
    await generator.open()
    upstream.script(f"url to=http://localhost:{elsewhere.port}/v1/pictures/ok")
    [image] = await generated(generator, REQUEST)
    assert image.data == EXPECTED
    await generator.close()
    [request] = elsewhere.requests
    assert "authorization" not in request.headers
    assert not any(KEY in value for value in request.headers.values())


@pytest.mark.parametrize(
    "at",
    ["reset-before-headers", "reset-mid-body", "short-length", "garbage", "404-model", "401", "500", "429",
     "empty", "huge", "hang", "hang-mid-body"],
)  # fmt: skip
async def test_a_failed_download_keeps_the_address(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, at: str
) -> None:
    upstream.script(f"url at={at}")
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, REQUEST)
    assert caught.value.raw == f"{upstream.base_url}/pictures/{at}".encode()
    assert len(upstream.charges) == 1
    assert len(upstream.generations) == 1


async def test_a_slow_download_ends_before_the_callers_deadline(upstream: FakeUpstream) -> None:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2", timeout_s=1.0)
    await generator.open()
    upstream.script("url at=trickle")
    async with asyncio.timeout(10):
        with pytest.raises(GeneratorResponseError) as caught:
            await generated(generator, REQUEST)
    assert caught.value.raw is not None
    await generator.close()


async def test_a_redirect_is_followed_to_allowed_hosts_only(
    upstream: FakeUpstream, elsewhere: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("url at=moved", "url at=moved", "url at=moved")
    to = ["/v1/pictures/ok", "ok", f"{elsewhere.base_url}/pictures/ok"]
    upstream.script(*(f"redirect status=302 to={each}" for each in to), path=PICTURES + "moved")
    for _ in range(2):
        assert [image.data for image in await generated(generator, REQUEST)] == [EXPECTED]
    with pytest.raises(PictureHostRefusedError):
        await generated(generator, REQUEST)
    assert elsewhere.requests == []


async def test_a_refused_host_is_said_before_the_next_payment(
    upstream: FakeUpstream, elsewhere: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script(f"url to=http://localhost:{elsewhere.port}/x")
    with pytest.raises(PictureHostRefusedError, match=r"localhost.*OPENAI_PICTURE_HOSTS"):
        await generated(generator, REQUEST)
    with pytest.raises(GeneratorUnavailableError, match=r"Nothing was generated.*OPENAI_PICTURE_HOSTS") as caught:
        await generated(generator, REQUEST)
    assert not caught.value.may_have_been_paid
    assert len(upstream.charges) == 1
    assert await generated(generator, GenerationRequest("a duck", model="another"))


async def test_a_wildcard_allows_public_addresses_only(
    upstream: FakeUpstream, elsewhere: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: look_up("127.0.0.1", *rest, **named))
    base = URL(upstream.base_url)
    client = UpstreamClient(KEY, base, 2.0)
    address = f"http://a.localhost:{elsewhere.port}/v1/pictures/ok"
    deadline = asyncio.get_running_loop().time() + 5.0
    international = address.replace("a.localhost", "xn--mnchen-3ya.localhost")
    for one in (address, international, address.replace("a.localhost", "münchen.localhost")):
        with pytest.raises(PictureHostRefusedError, match=r"not a public address.*OPENAI_PICTURE_HOSTS"):
            await PictureFetcher(client, base, (PictureHost("*.localhost"),)).fetch(one, deadline)
    assert elsewhere.requests == []
    named = (PictureHost("*.localhost"), PictureHost("a.localhost"))
    assert await PictureFetcher(client, base, named).fetch(address, deadline) == EXPECTED
    await client.close()


@pytest.mark.parametrize("declared", ["true", "false"])
async def test_a_picture_too_large_is_cut_off(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, declared: str
) -> None:
    upstream.script("url at=large")
    upstream.script(f"huge declared={declared}", path=PICTURES + "large")
    with pytest.raises(GeneratorResponseError):
        await generated(generator, REQUEST)
    async with asyncio.timeout(20):
        while not upstream.requests[-1].ended:
            await asyncio.sleep(0.005)
    assert upstream.requests[-1].bytes_sent < (64 + 32) * MIB


async def test_every_address_is_fetched(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("urls at=ok,picture+size=3000,ok good=1")
    images = await generated(generator, GenerationRequest(prompt="ducks", n=4))
    large = picture("behind an address", "png", 3000)
    assert [image.data for image in images] == [EXPECTED, large, EXPECTED, picture("ducks")]
    assert len(fetched(upstream)) == 3
    assert len(upstream.charges) == 1


@pytest.mark.parametrize("at", ["401", "reset-mid-body", "empty", "hang"])
async def test_a_failed_download_does_not_lose_the_other_pictures(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, at: str
) -> None:
    upstream.script(f"urls at=ok,{at} good=1")
    images, error = await generated_until_error(generator, GenerationRequest(prompt="a duck", n=3))
    assert [image.data for image in images] == [EXPECTED, picture("a duck")]
    assert isinstance(error, GeneratorResponseError)
    assert error.raw == f"{upstream.base_url}/pictures/{at}".encode()


async def test_if_all_downloads_fail_the_addresses_are_kept(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("urls at=401,empty")
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, GenerationRequest(prompt="a duck", n=2))
    assert caught.value.raw == "\n".join(f"{upstream.base_url}/pictures/{at}" for at in ("401", "empty")).encode()


async def test_an_address_in_a_stream_is_fetched(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("stream url=ok", "stream url=empty")
    [image] = await generated(generator, REQUEST, lambda partial: None)
    assert image.data == EXPECTED
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, REQUEST, lambda partial: None)
    assert caught.value.raw == f"{upstream.base_url}/pictures/empty".encode()
