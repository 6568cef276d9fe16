"""Edits: files reach the upstream complete, with the right names, and are never in memory as a whole."""

import asyncio
import hashlib
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorRateLimitedError,
    GeneratorRequestError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    PromptRejectedError,
)
from pixyproxy.domain.generation import EditSource, GenerationRequest, PartialImage
from pixyproxy.domain.image import Picture
from tests.fixtures.generation import generated
from tests.fixtures.openai.behaviours import picture_of, tokens
from tests.fixtures.openai.pictures import picture
from tests.fixtures.openai.streams import partial_of
from tests.fixtures.openai.upstream import EDITS, FakeUpstream, RefusingPort

KEY = "sk-test-0123456789abcdef"
PATIENCE_S = 20.0
MIB = 1024 * 1024
ONE, TWO = picture("one", "png", 200_000), picture("two", "webp")

Maker = Callable[..., EditSource]


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def generator(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = new_generator(upstream.base_url)
    await generator.open()
    yield generator
    await generator.close()


def new_generator(base_url: str, timeout_s: float = 5.0) -> OpenAIImageGenerator:
    return OpenAIImageGenerator(KEY, base_url, "gpt-image-2", timeout_s=timeout_s, retry_delays_s=(0.01, 0.02))


@pytest.fixture
def input_image() -> Iterator[Maker]:
    """Return a function that makes edit sources: unflushed temporary files, on disk from `in_memory` bytes on."""
    with ExitStack() as files:

        def make(data: bytes, media_type: str = "image/png", in_memory: int = 1) -> EditSource:
            file: Any = files.enter_context(tempfile.SpooledTemporaryFile(max_size=in_memory))
            file.write(data)
            return EditSource(file, Picture(media_type, 32, 32), len(data), sha256(data))

        yield make


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sent(upstream: FakeUpstream, number: int = 0) -> list[tuple[str, str | None, str | None, int, str]]:
    return [
        (part.name, part.filename, part.content_type, part.size, part.sha256) for part in upstream.edits[number].files
    ]


async def test_one_picture(upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker) -> None:
    [image] = await generated(generator, GenerationRequest("with a hat 🎩", images=(input_image(ONE),)))
    assert (image.data, image.model, image.usage) == (picture_of("with a hat 🎩"), "gpt-image-2", tokens(1))
    [request] = upstream.requests
    assert (request.method, request.path) == ("POST", EDITS)
    assert request.json == {"prompt": "with a hat 🎩", "model": "gpt-image-2"}
    assert sent(upstream) == [("image", "image-1.png", "image/png", len(ONE), sha256(ONE))]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "transfer-encoding" not in request.headers  # some servers know no upload of unknown length


async def test_several_pictures_and_attachments(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker
) -> None:
    request = GenerationRequest(
        "all of it",
        model="other",
        n=2,
        images=(input_image(ONE), input_image(TWO, "image/webp"), input_image(b"three", "image/jpeg")),
        attachments={"mask": input_image(b"mask"), "made up tomorrow": input_image(b"new", "image/gif")},
        options={
            "size": "64x64",
            "quality": None,
            "strict": True,
            "output_compression": 50,
            "svg": {"model": "x", "reasoning": {"effort": "low"}},
            "several": ["a", "b"],
            "partial_images": 2,
        },
    )
    images = await generated(generator, request)
    assert [image.data for image in images] == [picture_of("all of it", number) for number in range(2)]
    assert images[0].reported is not None
    assert images[0].reported["size"] == "64x64"
    assert upstream.edits[0].json == {
        "prompt": "all of it", "model": "other", "n": "2", "size": "64x64", "strict": "true",
        "output_compression": "50", "svg[model]": "x", "svg[reasoning][effort]": "low", "several[]": ["a", "b"],
    }  # fmt: skip
    assert sent(upstream) == [
        ("image[]", "image-1.png", "image/png", len(ONE), sha256(ONE)),
        ("image[]", "image-2.webp", "image/webp", len(TWO), sha256(TWO)),
        ("image[]", "image-3.jpg", "image/jpeg", 5, sha256(b"three")),
        ("mask", "mask.png", "image/png", 4, sha256(b"mask")),
        ("made up tomorrow", "made up tomorrow.gif", "image/gif", 3, sha256(b"new")),
    ]
    assert len(upstream.charges) == 1


async def test_options_cannot_replace_files(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker
) -> None:
    options = {"image": "x", "image[]": ["x"], "mask": "x", "n": 9, "stream": True, "prompt": "x", "model": "x"}
    attachments = {"mask": input_image(b"mask")}
    await generated(
        generator, GenerationRequest("p", options=options, images=(input_image(ONE),), attachments=attachments)
    )
    assert upstream.edits[0].json == {"prompt": "p", "model": "gpt-image-2"}
    assert [part.name for part in upstream.edits[0].files] == ["image", "mask"]


async def test_field_names_are_escaped(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker
) -> None:
    name = 'a"; filename="x\r\nX-Evil: 1\r\n\r\n'
    request = GenerationRequest("p", images=(input_image(ONE),), attachments={name: input_image(b"mask")})
    await generated(generator, request)
    _, part = upstream.edits[0].files
    assert "X-Evil" in part.name  # all of it is the name
    assert (part.content_type, part.sha256) == ("image/png", sha256(b"mask"))


@pytest.mark.parametrize(
    "request_of",
    [
        lambda image: GenerationRequest("p", images=(image,), attachments={"\ud800": image}),
        lambda image: GenerationRequest("p", images=(image,), options={"size": "\ud800"}),
        lambda image: GenerationRequest("p", images=(image,), options={"size": float("nan")}),
        lambda image: GenerationRequest("\ud800", images=(image,)),
    ],
)
async def test_a_request_that_json_cannot_express_is_not_sent(
    upstream: FakeUpstream,
    generator: OpenAIImageGenerator,
    input_image: Maker,
    request_of: Callable[[EditSource], GenerationRequest],
) -> None:
    with pytest.raises(GeneratorRequestError):
        await generated(generator, request_of(input_image(ONE)))
    assert upstream.requests == []


@pytest.mark.parametrize("size", [0, 1000, 100_000, 3 * MIB])
@pytest.mark.parametrize("in_memory", [1, MIB])
async def test_unflushed_files_are_sent_completely(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker, size: int, in_memory: int
) -> None:
    data = b"x" * size
    await generated(generator, GenerationRequest("p", images=(input_image(data, in_memory=in_memory),)))
    assert sent(upstream) == [("image", "image-1.png", "image/png", size, sha256(data))]


async def test_a_file_is_sent_in_its_recorded_length(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker
) -> None:
    image = input_image(ONE)
    image.file.write(b"more")
    await generated(generator, GenerationRequest("p", images=(image,)))
    assert sent(upstream)[0][3:] == (len(ONE), sha256(ONE))


@pytest.mark.parametrize(
    "damage", [lambda file: file.truncate(1000), lambda file: file.close()], ids=["short", "closed"]
)
async def test_a_file_that_cannot_be_read_fails_the_call(
    upstream: FakeUpstream, input_image: Maker, damage: Callable[[BinaryIO], object]
) -> None:
    generator = new_generator(upstream.base_url, 600.0)
    await generator.open()
    image = input_image(ONE)
    damage(image.file)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(GeneratorError):
            await generated(generator, GenerationRequest("p", images=(image,)))
    await generator.close()
    assert upstream.requests == []


# --- streams and repeats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["ok", "stream newline=crlf split=7 partials=2", "stream names=false partials=2"])
async def test_an_edit_can_be_streamed(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker, spec: str
) -> None:
    upstream.script(spec, path=EDITS)
    partials: list[PartialImage] = []
    request = GenerationRequest("p", images=(input_image(ONE),), options={"partial_images": 2})
    [image] = await generated(generator, request, partials.append)
    assert image.data == picture_of("p")
    assert [partial.data for partial in partials] == [partial_of("p", index) for index in (0, 1)]
    fields = {"prompt": "p", "model": "gpt-image-2", "partial_images": "2", "stream": "true"}
    assert upstream.edits[0].json == fields
    assert sent(upstream)[0][4] == sha256(ONE)


async def test_a_refused_connection_is_repeated_with_the_files(upstream: FakeUpstream, input_image: Maker) -> None:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "m", retry_delays_s=(0.01, 0.5))
    await generator.open()
    upstream.stop()
    task = asyncio.create_task(generated(generator, GenerationRequest("p", images=(input_image(ONE),))))
    await asyncio.sleep(0.1)
    upstream.start()
    [image] = await task
    assert image.data == picture_of("p")
    assert sent(upstream)[0][4] == sha256(ONE)
    await generator.close()


async def test_a_call_that_is_made_again_after_a_rate_limit_sends_every_file_completely(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, input_image: Maker
) -> None:
    upstream.script("429", "ok", path=EDITS)
    request = GenerationRequest(
        "p", images=(input_image(ONE), input_image(TWO)), attachments={"mask": input_image(b"mask")}
    )
    with pytest.raises(GeneratorRateLimitedError):
        await generated(generator, request)
    [image] = await generated(generator, request)
    assert image.data == picture_of("p")
    assert (len(upstream.edits), len(upstream.charges)) == (2, 1)
    for number in range(2):
        assert [part[4] for part in sent(upstream, number)] == [sha256(ONE), sha256(TWO), sha256(b"mask")]


# --- what goes wrong --------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    spec: str
    error: type[GeneratorError]
    requests: int = 1
    charges: int = 0


FAULTS = (
    Fault("moderation", PromptRejectedError),
    Fault("400", GeneratorRequestError),
    Fault("413", GeneratorRequestError),
    Fault("401", GeneratorCredentialsError),
    Fault("429", GeneratorRateLimitedError),
    Fault("500", GeneratorUnavailableError),
    Fault("error status=404", GeneratorUnavailableError),
    Fault("redirect to=/v1/images/generations", GeneratorUnavailableError),
    Fault("reset-before-headers", GeneratorConnectionLostError, charges=1),
    Fault("close-before-headers", GeneratorConnectionLostError, charges=1),
    Fault("reset-mid-body", GeneratorConnectionLostError, charges=1),
    Fault("hang", GeneratorTimeoutError, charges=1),
)


@pytest.mark.parametrize("on_partial", [None, lambda partial: None], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.spec)
async def test_fault(
    upstream: FakeUpstream, input_image: Maker, fault: Fault, on_partial: Callable[[PartialImage], None] | None
) -> None:
    generator = new_generator(upstream.base_url, 0.3 if fault.error is GeneratorTimeoutError else 5.0)
    await generator.open()
    upstream.defaults[EDITS] = fault.spec
    image = input_image(ONE)
    with pytest.raises(GeneratorError) as caught:
        await generated(generator, GenerationRequest("p", images=(image,)), on_partial)
    await generator.close()
    assert type(caught.value) is fault.error
    assert caught.value.may_have_been_paid == bool(fault.charges)
    assert len(upstream.requests) == fault.requests
    assert len(upstream.charges) == fault.charges
    assert KEY[:12] not in caught.value.message
    assert not image.file.closed


async def test_an_unreachable_server(input_image: Maker) -> None:
    with RefusingPort() as base_url:
        generator = new_generator(base_url)
        await generator.open()
        with pytest.raises(GeneratorUnavailableError):
            await generated(generator, GenerationRequest("p", images=(input_image(ONE),)))
        await generator.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler, timeout_s: float = 5.0) -> AsyncIterator[OpenAIImageGenerator]:
    """Run a generator whose upstream is this handler, which must return when its event is set."""
    over, tasks = asyncio.Event(), set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await handler(reader, writer, over)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    generator = new_generator(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", timeout_s)
    await generator.open()
    yield generator
    await generator.close()
    over.set()
    await asyncio.wait(tasks)
    server.close()


async def test_a_refusal_during_the_upload_ends_it(input_image: Maker) -> None:
    async def refuse_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()

    image = input_image(b"x" * 30 * MIB)
    async with served(refuse_at_once, 600.0) as generator, asyncio.timeout(PATIENCE_S):
        # A reset may overtake the refusal.
        with pytest.raises((GeneratorRequestError, GeneratorConnectionLostError)):
            await generated(generator, GenerationRequest("p", images=(image,)))
    assert not image.file.closed


async def test_a_cancelled_upload_leaves_the_file_open(input_image: Maker) -> None:
    arrived = asyncio.Event()

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await over.wait()

    image = input_image(b"x" * 30 * MIB)
    async with served(never_read, 600.0) as generator, asyncio.timeout(PATIENCE_S):
        task = asyncio.create_task(generated(generator, GenerationRequest("p", images=(image,))))
        await arrived.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert not image.file.closed


async def test_large_files_are_not_read_into_memory(tmp_path: Path) -> None:
    received = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        nonlocal received
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while received < length:
            received += len(await reader.read(65_536))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{"data": [{"b64_json": "QUJD"}]}')

    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    async with served(swallow, 60.0) as generator:
        with ExitStack() as files:
            picture = Picture("image/png", 1, 1)
            images = tuple(
                EditSource(files.enter_context(path.open("rb")), picture, 16 * MIB, "0" * 64) for _ in range(8)
            )
            tracemalloc.start()
            try:
                await generated(generator, GenerationRequest("p", images=images))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert received > 8 * 16 * MIB
    assert peak < 8 * MIB
