"""Calls while this process lacks open files, memory or threads: what was not sent is unpaid, what arrived is kept."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from httpx2 import URL

from pixyproxy.adapters.openai import picture_fetcher
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.reading import response_reader
from pixyproxy.adapters.openai.socket_record import SocketRecord
from pixyproxy.adapters.openai.upstream_client import UpstreamClient
from pixyproxy.domain.errors import GeneratorConnectionLostError, GeneratorUnavailableError
from pixyproxy.domain.generation import GenerationRequest
from tests.fixtures.generation import generated
from tests.fixtures.open_files import no_open_file_left
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.upstream import FakeUpstream

REQUEST = GenerationRequest(prompt="a duck")


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def generator(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = OpenAIImageGenerator("sk-test", upstream.base_url, "gpt-image-2", retry_delays_s=(0.01, 0.01))
    await generator.open()
    yield generator
    await generator.close()


async def test_a_call_without_an_open_file_is_not_sent(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    with no_open_file_left(), pytest.raises(GeneratorUnavailableError) as raised:
        await generated(generator, REQUEST)
    assert not raised.value.may_have_been_paid
    assert not raised.value.is_final
    assert upstream.requests == []
    assert len(await generated(generator, REQUEST)) == 1


async def test_a_picture_behind_an_address_is_fetched_when_files_can_be_opened_again(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_fetcher, "RETRY_DELAYS_S", (0.01, 0.02))
    fetch, tries = UpstreamClient.fetch, 0

    async def fetch_later(self: UpstreamClient, url: URL, record: SocketRecord, **options: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 10:
            with no_open_file_left():
                return await fetch(self, url, record, **options)
        return await fetch(self, url, record, **options)

    monkeypatch.setattr(UpstreamClient, "fetch", fetch_later)
    upstream.script("url")
    [image] = await generated(generator, REQUEST)
    assert image.data == picture("behind an address")
    assert (tries, len(upstream.charges)) == (10, 1)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
async def test_a_response_that_cannot_be_read_for_now_is_kept(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    upstream.script("ok size=300000")
    with monkeypatch.context() as short:
        short.setattr(response_reader, "read_document", fail)
        with pytest.raises(GeneratorConnectionLostError) as raised:
            await generated(generator, REQUEST)
    assert raised.value.may_have_been_paid
    [rescued] = await generator.read_rescued(raised.value.raw or b"")
    assert rescued.data == picture("a duck", "png", 300_000)
