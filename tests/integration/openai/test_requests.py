"""Successful generations: requests and results, and the use of connections and memory."""

import asyncio
import io
import logging
import resource
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from PIL import Image

from pixyproxy.adapters.openai.admission import ByteBudget
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.reading import response_reader
from pixyproxy.adapters.openai.reading.upstream_response import KEPT_BYTES
from pixyproxy.domain.errors import GeneratorConnectionLostError, GeneratorResponseError
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest
from pixyproxy.domain.usage import sum_usage
from tests.fixtures.generation import generated
from tests.fixtures.openai.behaviours import picture_of, tokens
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.upstream import FakeUpstream

KEY = "sk-test-0123456789abcdef"
PATIENCE_S = 20.0
MIB = 1024 * 1024


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def generator(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    yield generator
    await generator.close()


async def one(generator: OpenAIImageGenerator, request: GenerationRequest) -> GeneratedImage:
    """Return the only picture of a request for one."""
    [image] = await generated(generator, request)
    return image


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_sends_prompt_model_and_options_as_they_are(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    prompt = "  Ente 🦆\n\x00 鸭子 "
    options = {"size": "1536x1024", "quality": None, "response_format": "url", "new": {"deep": [1, 2.5, None, True]}}
    await generated(generator, GenerationRequest(prompt=prompt, options=options))
    await generated(generator, GenerationRequest(prompt=prompt, model="another-model"))
    first, second = upstream.generations
    assert first.method == "POST"
    assert first.json == {"prompt": prompt, "model": "gpt-image-2", **options}
    assert second.json == {"prompt": prompt, "model": "another-model"}


@pytest.mark.parametrize("ending", ["", "/"])
async def test_the_address_may_end_in_a_slash(upstream: FakeUpstream, ending: str) -> None:
    generator = OpenAIImageGenerator(KEY, upstream.base_url + ending, "gpt-image-2")
    await generator.open()
    try:
        await generated(generator, GenerationRequest("a duck"))
    finally:
        await generator.close()
    [request] = upstream.requests
    assert request.path == "/v1/images/generations"


async def test_options_cannot_override_the_request(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    options = {"n": 10, "stream": True, "partial_images": 3, "prompt": "other", "model": "other"}
    await generated(generator, GenerationRequest(prompt="one", options=options))
    await generated(generator, GenerationRequest(prompt="one", options=options, n=4))
    assert upstream.generations[0].json == {"prompt": "one", "model": "gpt-image-2"}
    assert upstream.generations[1].json == {"prompt": "one", "model": "gpt-image-2", "n": 4}


async def test_sends_nothing_of_the_environment(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Environment: from-the-environment\nAuthorization: Bearer stolen")
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    await generated(generator, GenerationRequest(prompt="quiet"))
    await generator.check()
    await generator.close()
    generation, models = upstream.requests
    for request in (generation, models):
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert not any("environment" in value for value in request.headers.values())
        assert not any(name.startswith(("openai-", "x-stainless-os", "x-stainless-arch")) for name in request.headers)


async def test_returns_the_metadata_of_the_upstream(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("ok model=gpt-image-2-2026 revised=nicer", "ok usage=false")
    full = await one(generator, GenerationRequest(prompt="a duck"))
    assert full.data == picture("a duck")
    assert (full.model, full.revised_prompt) == ("gpt-image-2-2026", "nicer")
    assert full.usage == {
        "input_tokens": 12,
        "output_tokens": 1056,
        "total_tokens": 1068,
        "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
    }
    bare = await one(generator, GenerationRequest(prompt="a duck", model="named"))
    assert (bare.model, bare.revised_prompt, bare.usage) == ("named", None, None)


async def test_the_header_may_report_the_cost(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("ok cost=0.1000001", "ok cost=0.25 usage=false", "ok cost=None")
    images = await generated(generator, GenerationRequest(prompt="ducks", n=3))
    assert sum_usage(image.usage for image in images) == {**tokens(3), "cost": 0.1000001}
    assert [image.call_usage and image.call_usage.usage["cost"] for image in images] == [0.1000001] * 3
    assert (await one(generator, GenerationRequest(prompt="a duck"))).usage == {"cost": 0.25}
    assert (await one(generator, GenerationRequest(prompt="a duck"))).usage == tokens(1)


async def test_several_pictures_share_the_usage(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("ok model=m revised=nicer")
    options = {"size": "1536x1024", "quality": "auto", "output_format": "webp"}
    images = await generated(generator, GenerationRequest(prompt="ducks", n=3, options=options))
    assert [image.data for image in images] == [picture_of("ducks", number, "webp") for number in range(3)]
    assert sum_usage(image.usage for image in images) == tokens(3)
    assert [image.usage["output_tokens"] for image in images if image.usage] == [1056] * 3
    reported = {"size": "1536x1024", "quality": "high", "background": "opaque", "output_format": "webp"}
    for image in images:
        assert (image.model, image.revised_prompt, image.reported) == ("m", "nicer", reported)
    assert len(upstream.charges) == 1


async def test_large_pictures_in_one_response(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("ok size=1500000")
    images = await generated(generator, GenerationRequest(prompt="ducks", n=4))
    assert [image.data for image in images] == [picture_of("ducks", number, "png", 1_500_000) for number in range(4)]


@pytest.mark.parametrize("usage", ['{"cost":NaN}', '{"cost":-Infinity}', '"free"', "[]", "null"])
async def test_odd_metadata_does_not_lose_the_picture(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, usage: str
) -> None:
    upstream.script(f"odd-reports usage={usage}")
    image = await one(generator, GenerationRequest(prompt="odd"))
    assert image.data == picture("odd")
    assert (image.model, image.revised_prompt, image.usage) == ("gpt-image-2", None, None)


@pytest.mark.parametrize(
    "spec",
    ["ok size=30000", "ok size=1500000", "ok size=1500000 chunked=true", "ok zipped=true", "ok status=201", "data-url",
     "ok delay=0.05", "drip pause=0.001 piece=500"],
)  # fmt: skip
async def test_accepts_every_transfer_of_a_response(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    image = await one(generator, GenerationRequest(prompt="a duck"))
    with Image.open(io.BytesIO(image.data)) as opened:
        opened.load()
    size = 30_000 if "30000" in spec else 1_500_000 if "1500000" in spec else None
    assert image.data == picture("a duck", "png", size)


async def test_bytes_that_are_not_a_picture_are_returned(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("not-a-picture")
    assert (await one(generator, GenerationRequest(prompt="a"))).data == b"these bytes are no picture"


async def test_concurrent_large_responses_are_complete(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    prompts = [f"[[ok size=300000]] {number}" for number in range(20)]
    images = await asyncio.gather(*(one(generator, GenerationRequest(prompt=prompt)) for prompt in prompts))
    assert [image.data for image in images] == [picture(prompt, "png", 300_000) for prompt in prompts]
    assert len(upstream.charges) == 20


async def test_calls_are_not_limited_by_a_connection_pool(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    tasks = [asyncio.create_task(generated(generator, GenerationRequest(prompt="[[hang]]"))) for _ in range(150)]
    await until(lambda: len(upstream.requests) == 150)  # aiohttp's own limit would be 100
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_slow_responses_do_not_block_others(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    trickles = [
        asyncio.create_task(generated(generator, GenerationRequest(prompt="[[hang-mid-body]]"))) for _ in range(8)
    ]
    await until(lambda: len(upstream.requests) == 8)
    async with asyncio.timeout(PATIENCE_S):
        assert (await one(generator, GenerationRequest(prompt="quick"))).data
    for task in trickles:
        task.cancel()
    await asyncio.wait(trickles)


def budget_of(generator: OpenAIImageGenerator) -> ByteBudget:
    assert generator._resources is not None
    return generator._resources.budget


@pytest.mark.parametrize("chunked", ["true", "false"])
async def test_a_response_is_not_read_before_it_is_admitted(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, chunked: str
) -> None:
    budget_of(generator).change(20 * MIB)
    upstream.script(f"ok size=12000000 chunked={chunked}")
    task = asyncio.create_task(one(generator, GenerationRequest(prompt="a")))
    await until(lambda: upstream.requests and upstream.requests[0].bytes_sent)
    await asyncio.sleep(0.3)
    [request] = upstream.requests
    assert not request.ended  # the socket's buffers are full
    budget_of(generator).change(-20 * MIB)
    assert (await task).data == picture("a", "png", 12_000_000)
    await until(lambda: request.ended)
    assert budget_of(generator).bytes == 0


async def test_a_picture_counts_until_the_next_item_is_asked_for(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("ok size=300000")
    items = generator.generate(GenerationRequest(prompt="a", n=2))
    for number in range(2):
        image = await anext(items)
        assert isinstance(image, GeneratedImage)
        assert image.data == picture_of("a", number, "png", 300_000)
        assert budget_of(generator).bytes == len(image.data)
    assert [item async for item in items] == []
    assert budget_of(generator).bytes == 0


async def test_a_caller_who_stops_gives_the_permit_back(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    upstream.script("ok size=300000")
    items = generator.generate(GenerationRequest(prompt="a", n=2))
    await anext(items)
    await items.aclose()
    assert budget_of(generator).bytes == 0


async def test_closing_ends_a_wait_for_admission(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("ok size=12000000")
    budget = budget_of(generator)
    budget.change(20 * MIB)
    task = asyncio.create_task(one(generator, GenerationRequest(prompt="a")))
    await until(lambda: upstream.requests and upstream.requests[0].bytes_sent)
    await asyncio.sleep(0.1)
    await generator.close()
    budget.change(-20 * MIB)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(GeneratorConnectionLostError):
            await task


async def test_no_connection_is_used_twice(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("stale", "stale", "stale")  # each would reset the connection if it were used again
    for number in range(3):
        assert (await one(generator, GenerationRequest(prompt=f"{number}"))).data
    assert len({request.connection for request in upstream.generations}) == 3
    assert {request.headers["connection"] for request in upstream.generations} == {"close"}


async def test_a_broken_connection_is_not_repeated(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("reset-before-headers", "ok", "ok")
    with pytest.raises(GeneratorConnectionLostError):
        await generated(generator, GenerationRequest(prompt="once"))
    assert len(upstream.generations) == 1


@pytest.mark.parametrize("spec", ["hang", "hang-mid-body", "drip pause=0.5"])
async def test_a_cancelled_call_frees_its_connection(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    task = asyncio.create_task(generated(generator, GenerationRequest(prompt="a")))
    await until(lambda: upstream.requests and (spec == "hang" or upstream.requests[0].bytes_sent))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: upstream.requests[0].ended)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("spec", ["hang", "hang-mid-body"])
async def test_closing_aborts_running_calls(upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str) -> None:
    upstream.script(spec)
    task = asyncio.create_task(generated(generator, GenerationRequest(prompt="a")))
    await until(lambda: upstream.requests and (spec == "hang" or upstream.requests[0].bytes_sent))
    await generator.close()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(GeneratorConnectionLostError):
            await task
    await until(lambda: upstream.requests[0].ended)


async def test_a_call_cancelled_before_its_repeat_is_not_repeated(upstream: FakeUpstream) -> None:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "m", retry_delays_s=(0.5,))
    await generator.open()
    upstream.stop()
    task = asyncio.create_task(generated(generator, GenerationRequest(prompt="a")))
    await asyncio.sleep(0.1)
    upstream.start()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.8)
    assert upstream.requests == []
    await generator.close()


@pytest.mark.parametrize("declared", ["true", "false"])
async def test_a_response_that_grows_too_large_is_cut_off(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, declared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_reader, "MAX_RESPONSE_BYTES", 16 * MIB)
    await generated(generator, GenerationRequest(prompt="warm"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    upstream.script(f"huge length=1000000000 declared={declared}")
    with pytest.raises(GeneratorResponseError, match="too large") as caught:
        await generated(generator, GenerationRequest(prompt="a"))
    await until(lambda: upstream.requests[1].ended)
    # As much as fits into the buffers of two sockets.
    assert upstream.requests[1].bytes_sent < (16 + 32) * MIB
    assert caught.value.raw is not None
    assert len(caught.value.raw) == KEPT_BYTES
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib * 1024 < (16 + 96) * MIB


async def test_a_picture_in_a_response_that_grows_too_large_comes_out(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_reader, "MAX_RESPONSE_BYTES", MIB)
    upstream.script(f"ok size={MIB} chunked=true")
    items = generator.generate(GenerationRequest(prompt="a", n=3))
    images = [await anext(items), await anext(items)]
    assert [image.data for image in images] == [picture_of("a", number, "png", MIB) for number in range(2)]
    with pytest.raises(GeneratorResponseError, match="too large"):
        await anext(items)


async def test_logs_hold_no_prompt_key_or_picture(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await generated(generator, GenerationRequest(prompt="a most secret prompt"))
    assert "secret prompt" not in caplog.text
    assert KEY not in caplog.text
    assert "b64_json" not in caplog.text
