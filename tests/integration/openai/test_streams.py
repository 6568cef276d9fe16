"""Streamed generations: partial images, and the pictures for every way in which a stream can end."""

import asyncio
import io
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

import pytest
from PIL import Image

from pixyproxy.adapters.openai.admission import Permit
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.reading import response_reader as reader_module
from pixyproxy.adapters.openai.reading.event_parser import ServerSentEvent
from pixyproxy.adapters.openai.reading.stream_event import StreamEvent, read_event
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorRequestError,
    GeneratorResponseError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    PromptRejectedError,
)
from pixyproxy.domain.generation import GenerationRequest, PartialImage
from tests.fixtures.generation import generated, generated_until_error
from tests.fixtures.openai.behaviours import picture_of, tokens
from tests.fixtures.openai.nonsense import NONSENSE
from tests.fixtures.openai.streams import partial_of
from tests.fixtures.openai.upstream import GENERATIONS, FakeUpstream

KEY = "sk-test-0123456789abcdef"
PATIENCE_S = 20.0
REQUEST = GenerationRequest(prompt="a duck")


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def generator(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = new_generator(upstream, 5.0)
    await generator.open()
    yield generator
    await generator.close()


@pytest.fixture
async def hasty(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    """Return a generator with a short time-out."""
    generator = new_generator(upstream, 0.5)
    await generator.open()
    yield generator
    await generator.close()


def new_generator(upstream: FakeUpstream, timeout_s: float) -> OpenAIImageGenerator:
    return OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2", timeout_s=timeout_s, retry_delays_s=(0.01, 0.02))


def ignore(partial: PartialImage) -> None:
    pass


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_requests_a_stream_with_the_wanted_partial_images(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    await generated(generator, REQUEST, ignore)
    await generated(generator, GenerationRequest("a duck", n=2, options={"partial_images": 3, "stream": False}), ignore)
    plain = {"prompt": "a duck", "model": "gpt-image-2", "stream": True}
    assert upstream.generations[0].json == plain
    assert upstream.generations[1].json == {**plain, "n": 2, "partial_images": 3}


@pytest.mark.parametrize(
    "spec",
    [
        "ok", "ok delay=0.05", "stream", "stream newline=crlf", "stream newline=cr", "stream split=1", "stream split=7",
        "stream newline=crlf split=1", "stream newline=cr split=3", "stream comments=true", "stream unknown=true",
        "stream comments=true unknown=true newline=crlf split=5", "stream names=false", "stream types=false",
        "stream done=true", "stream chunked=false", "stream delay=0.02", "stream end=cut-after", "stream end=cut",
        "stream end=reset", "stream done=true end=hang", "stream chunked=false end=cut-after",
    ],
)  # fmt: skip
async def test_accepts_every_format_of_a_stream(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    partials: list[PartialImage] = []
    request = GenerationRequest("a duck 🦆", options={"partial_images": 2, "size": "64x64", "quality": "low"})
    [image] = await generated(generator, request, partials.append)
    reported = {"size": "64x64", "quality": "low", "background": "opaque", "output_format": "png"}
    assert image.data == picture_of("a duck 🦆")
    assert (image.model, image.usage, image.reported) == ("gpt-image-2", tokens(1), reported)
    assert partials == [PartialImage(partial_of("a duck 🦆", index), index, reported) for index in (0, 1)]
    assert len(upstream.charges) == 1


async def test_concurrent_large_pictures_are_complete(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    prompts = [f"[[ok size=300000]] {number}" for number in range(12)]
    made = await asyncio.gather(*(generated(generator, GenerationRequest(prompt), ignore) for prompt in prompts))
    assert [image.data for (image,) in made] == [picture_of(prompt, 0, "png", 300_000) for prompt in prompts]


async def test_large_events_are_parsed_in_a_thread_and_partial_images_arrive_in_the_loop(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: dict[bool, set[str]] = {True: set(), False: set()}

    def noted(event: ServerSentEvent) -> StreamEvent:
        readers[len(event.data) > reader_module.SMALL_BYTES].add(threading.current_thread().name)
        return read_event(event)

    monkeypatch.setattr(reader_module, "read_event", noted)
    upstream.script("stream partials=1 size=300000")
    handed_out: list[str] = []
    await generated(generator, REQUEST, lambda partial: handed_out.append(threading.current_thread().name))
    assert handed_out == [threading.current_thread().name]
    assert readers[False] == {threading.current_thread().name}
    assert all(name.startswith("openai-decode") for name in readers[True])
    assert readers[True]


async def test_a_picture_of_the_usual_size(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("ok size=1500000 model=gpt-image-2-2026 revised=nicer")
    [image] = await generated(generator, REQUEST, ignore)
    with Image.open(io.BytesIO(image.data)) as opened:
        opened.load()
    assert (image.model, image.revised_prompt) == ("gpt-image-2-2026", "nicer")


async def test_each_picture_has_its_own_usage(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    partials: list[PartialImage] = []
    request = GenerationRequest("ducks", n=3, options={"partial_images": 1})
    images = await generated(generator, request, partials.append)
    assert [image.data for image in images] == [picture_of("ducks", number) for number in range(3)]
    assert [image.usage for image in images] == [tokens(1)] * 3
    assert [partial.index for partial in partials] == [0, 0, 0]
    assert len(upstream.charges) == 1


async def test_partial_images_come_before_the_picture_is_finished(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    came = asyncio.Event()
    upstream.script("stream partials=1 finished=0 end=hang")
    task = asyncio.create_task(generated(generator, REQUEST, lambda partial: came.set()))
    async with asyncio.timeout(PATIENCE_S):
        await came.wait()
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_an_unreadable_partial_image_is_dropped(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("stream partials=2 bad=partial")
    partials: list[PartialImage] = []
    [image] = await generated(generator, REQUEST, partials.append)
    assert image.data == picture_of("a duck")
    assert partials == []


@pytest.mark.parametrize("spec", ["fast", "ok chunked=true size=200000"])
async def test_a_response_without_a_stream_is_accepted(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fixtures.openai.exchange.ReceivedRequest.streamed", False)
    upstream.script(spec)
    partials: list[PartialImage] = []
    [image] = await generated(generator, GenerationRequest("x", options={"partial_images": 3}), partials.append)
    assert image.data
    assert partials == []


async def test_an_unrequested_stream_is_accepted(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("stream partials=2")
    [image] = await generated(generator, REQUEST)
    assert image.data == picture_of("a duck")


# --- what goes wrong --------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    spec: str
    error: type[GeneratorError]
    words: str = ""
    has_document: bool = False


LOST = GeneratorConnectionLostError

FAULTS = (
    Fault("stream error=moderation", PromptRejectedError, "safety_violations=[violence]", True),
    Fault("stream error=moderation bare=true", PromptRejectedError, "safety_violations=[violence]", True),
    Fault("stream error=moderation partials=2", PromptRejectedError, "safety_violations=[violence]", True),
    Fault("stream error=content-policy names=false", PromptRejectedError, "our safety system", True),
    Fault("stream error=400", GeneratorRequestError, "Supported values are: '1024x1024'.", True),
    Fault("stream error=401", GeneratorCredentialsError),
    Fault("stream error=404-model", GeneratorUnavailableError),
    Fault("stream error=429", GeneratorRateLimitedError, "Rate limit reached", True),
    Fault("stream error=quota", GeneratorQuotaError, "", True),
    Fault("stream error=500", GeneratorUnavailableError, "", True),
    Fault("stream error=500 split=3 newline=cr", GeneratorUnavailableError, "", True),
    # Work had begun.
    Fault("stream error=500 partials=1", LOST, "", True),
    Fault("stream error=429 partials=1", LOST, "", True),
    Fault("stream error=500 partials=1 bad=partial", LOST, "", True),
    Fault("stream error=401 partials=1", LOST),
    Fault("stream finished=0", GeneratorResponseError, "empty"),
    Fault("stream finished=0 done=true", LOST),
    Fault("stream finished=0 end=cut", LOST),
    Fault("stream finished=0 end=reset", LOST),
    Fault("stream finished=0 partials=1 bad=partial end=reset", LOST),
    Fault("stream finished=0 end=hang", GeneratorTimeoutError),
    Fault("stream finished=0 end=stall", GeneratorTimeoutError),
    Fault("stream finished=0 end=trickle", GeneratorTimeoutError),
    Fault("stream bad=completed", GeneratorResponseError),
    Fault("stream bad=completed end=reset", LOST),
    Fault("hang", GeneratorTimeoutError),
    Fault("reset-before-headers", LOST),
    Fault("moderation", PromptRejectedError, "safety_violations=[violence]", True),
    Fault("500", GeneratorUnavailableError, "", True),
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.spec)
async def test_fault(
    upstream: FakeUpstream,
    generator: OpenAIImageGenerator,
    hasty: OpenAIImageGenerator,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.defaults[GENERATIONS] = fault.spec
    with pytest.raises(GeneratorError) as caught:
        await generated(hasty if fault.error is GeneratorTimeoutError else generator, REQUEST, ignore)
    error = caught.value
    assert type(error) is fault.error
    assert fault.words in error.message
    assert error.message.isprintable()
    assert (error.document is not None) == fault.has_document
    if error.document is not None:
        assert list(error.document) == ["error"]
    assert len(upstream.requests) == 1
    for text in (error.message, caplog.text, json.dumps(error.document)):
        assert KEY[:12] not in text
        assert "Bearer" not in text


async def test_a_rate_limit_before_the_stream_is_an_error_without_pictures(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("429 retry_after_ms=5", "ok")
    partials: list[PartialImage] = []
    request = GenerationRequest("a duck", options={"partial_images": 1})
    with pytest.raises(GeneratorRateLimitedError):
        await generated(generator, request, partials.append)
    assert (partials, len(upstream.charges)) == ([], 0)


@pytest.mark.parametrize(
    "spec",
    ["stream finished=0 partials=3", "stream finished=0 partials=3 end=trickle", "stream finished=0 partials=3 end=cut",
     "stream finished=0 partials=3 end=reset chunked=false", "stream finished=0 partials=3 done=true"],
)  # fmt: skip
async def test_the_last_early_view_is_the_picture_if_no_other_comes(
    upstream: FakeUpstream, hasty: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    [image] = await generated(hasty, REQUEST, ignore)
    assert image.data == partial_of("a duck", 2)
    assert image.reported is not None
    assert image.reported["early_view"] is True


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("stream finished=2", None),
        ("stream finished=2 done=true", None),
        ("stream finished=2 end=cut-after", LOST),
        ("stream finished=2 end=cut", LOST),
        ("stream finished=2 end=reset", LOST),
        ("stream finished=2 error=500", GeneratorUnavailableError),
        ("stream finished=2 error=moderation partials=1", PromptRejectedError),
        ("stream finished=2 end=hang", GeneratorTimeoutError),
        ("stream finished=2 end=trickle", GeneratorTimeoutError),
    ],
)
async def test_pictures_before_a_break_are_kept(
    upstream: FakeUpstream, hasty: OpenAIImageGenerator, spec: str, error: type[GeneratorError] | None
) -> None:
    upstream.script(spec)
    images, caught = await generated_until_error(hasty, GenerationRequest("ducks", n=3, early_views=True))
    assert [image.data for image in images] == [picture_of("ducks", number) for number in range(2)]
    assert type(caught) is (error or type(None))
    assert len(upstream.charges) == 1


@pytest.mark.parametrize("spec", ["stream finished=2 end=hang", "stream finished=3 end=trickle"])
async def test_a_stream_ends_soon_after_the_last_picture(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LINGER_S", 0.05)
    slow = new_generator(upstream, 600.0)
    await slow.open()
    upstream.script(spec)
    async with asyncio.timeout(PATIENCE_S):
        images = await generated(slow, GenerationRequest("ducks", n=2), ignore)
    assert len(images) == (2 if "=2" in spec else 3)
    await slow.close()


async def test_done_ends_the_stream(upstream: FakeUpstream) -> None:
    generator = new_generator(upstream, 600.0)
    await generator.open()
    upstream.script("stream finished=1 done=true end=hang", "stream finished=0 done=true end=hang")
    async with asyncio.timeout(PATIENCE_S):
        assert len(await generated(generator, GenerationRequest("ducks", n=3), ignore)) == 1
        with pytest.raises(GeneratorConnectionLostError):
            await generated(generator, REQUEST, ignore)
    await generator.close()


async def test_an_undecodable_picture_is_kept_beside_good_ones(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = "tests.fixtures.openai.streams.picture_of"
    monkeypatch.setattr(good, lambda prompt, number=0, *rest: b"" if number == 1 else picture_of(prompt, number))
    images, error = await generated_until_error(generator, GenerationRequest("ducks", n=3, early_views=True))
    assert [image.data for image in images] == [picture_of("ducks", 0), picture_of("ducks", 2)]
    assert isinstance(error, GeneratorResponseError)
    assert error.raw is not None
    assert json.loads(error.raw)["type"] == "image_generation.completed"


async def test_a_stream_of_undecodable_pictures_is_kept(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("stream bad=completed")
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, GenerationRequest("ducks", n=2), ignore)
    assert caught.value.raw is not None
    assert caught.value.raw.count(b"no base64!") == 2


@pytest.mark.parametrize("name", ["html", "malformed-b64", "empty-data"])
async def test_an_invalid_response_instead_of_a_stream_is_kept(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, name: str
) -> None:
    upstream.script(name)
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, REQUEST, ignore)
    assert caught.value.raw == NONSENSE[name]


@pytest.mark.parametrize("events", ["true", "false"])
async def test_an_endless_stream_is_cut_off(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, events: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "MAX_STREAM_BYTES", 6_000_000)
    monkeypatch.setattr(reader_module, "MAX_RESPONSE_BYTES", 3_000_000)
    upstream.script(f"flood-stream length=1000000000 events={events}")
    with pytest.raises(GeneratorResponseError, match="too large"):
        await generated(generator, REQUEST, ignore)
    await until(lambda: upstream.requests[0].ended)
    assert (
        upstream.requests[0].bytes_sent < 6_000_000 + 32 * 1024 * 1024
    )  # as much as fits into the buffers of two sockets


async def test_pictures_over_the_limits_are_not_read(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = GenerationRequest("ducks", n=9, early_views=True)
    with monkeypatch.context() as limited:
        limited.setattr(reader_module, "MAX_STREAM_BYTES", 900_000)
        upstream.script("stream finished=9 size=300000")
        images, error = await generated_until_error(generator, request)
    assert 0 < len(images) < 9
    assert isinstance(error, GeneratorResponseError)
    monkeypatch.setattr(reader_module, "MAX_PICTURES", 2)
    upstream.script("stream finished=9")
    assert len(await generated(generator, GenerationRequest("ducks", n=9), ignore)) == 2


# --- side by side -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["stream partials=1 finished=0 end=hang", "stream partials=1 finished=0 end=trickle"])
async def test_silent_streams_do_not_block_others(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    views: list[PartialImage] = []
    prompt = f"[[{spec}]]"
    streams = [asyncio.create_task(generated(generator, GenerationRequest(prompt), views.append)) for _ in range(16)]
    await until(lambda: len(views) == len(streams))
    async with asyncio.timeout(PATIENCE_S):
        assert await generated(generator, REQUEST)
        assert await generated(generator, REQUEST, ignore)
    for task in streams:
        task.cancel()
    await asyncio.wait(streams)


async def test_a_stream_is_admitted_once_for_each_large_event(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted: list[int | None] = []
    gates = asyncio.Semaphore(0)

    async def admit(permit: Permit, size: int | None, *, deadline: float) -> None:
        admitted.append(size)
        await gates.acquire()

    monkeypatch.setattr(Permit, "admit", admit)
    views: list[PartialImage] = []
    upstream.script("stream partials=3 finished=0 end=hang", "stream partials=1 finished=2 size=400000")
    task = asyncio.create_task(generated(generator, REQUEST, views.append))
    await until(lambda: len(views) == 3)
    assert admitted == []
    task.cancel()
    await asyncio.wait([task])
    task = asyncio.create_task(generated(generator, GenerationRequest("large", n=2), views.append))
    for number in (1, 2):
        await until(lambda number=number: len(admitted) == number)
        await asyncio.sleep(0.05)
        assert len(admitted) == number
        assert not task.done()
        gates.release()
    assert len(await task) == 2
    assert admitted == [None, None]


@pytest.mark.parametrize("spec", ["stream finished=0 end=hang", "stream finished=0 end=trickle", "stream delay=600"])
async def test_a_cancelled_stream_frees_its_connection(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    task = asyncio.create_task(generated(generator, REQUEST, ignore))
    await until(lambda: upstream.requests and upstream.requests[0].bytes_sent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: upstream.requests[0].ended)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("end", ["hang", "stall"])
async def test_closing_aborts_a_stream(upstream: FakeUpstream, generator: OpenAIImageGenerator, end: str) -> None:
    upstream.script(f"stream finished=0 partials=1 end={end}")
    views: list[PartialImage] = []
    task = asyncio.create_task(generated(generator, REQUEST, views.append))
    await until(lambda: views and (end == "hang" or upstream.requests[0].bytes_sent > 300_000))
    await asyncio.sleep(0.05)
    await generator.close()
    async with asyncio.timeout(PATIENCE_S):
        [image] = await task
    assert image.data == views[0].data  # better than nothing
    await until(lambda: upstream.requests[0].ended)


async def test_logs_hold_no_prompt_key_or_picture(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script("stream partials=1", "stream finished=1 end=reset")
    for number in (1, 2):
        await generated_until_error(generator, GenerationRequest("a most secret prompt", n=number, early_views=True))
    assert "secret prompt" not in caplog.text
    assert KEY not in caplog.text
    assert "b64_json" not in caplog.text
