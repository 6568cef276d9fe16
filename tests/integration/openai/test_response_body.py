"""Bodies with a content coding are decompressed, or refused with what could be read of them."""

import asyncio
import base64
import gzip
import random
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.errors import GeneratorResponseError
from pixyproxy.domain.generation import GenerationRequest

PICTURE = random.Random(1).randbytes(300_000)
DOCUMENT = b'{"data":[{"b64_json":"%s"}]}' % base64.b64encode(PICTURE)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@asynccontextmanager
async def answering(body: bytes, coding: str) -> AsyncIterator[OpenAIImageGenerator]:
    """Run a generator whose upstream sends this body, in two pieces, with this content coding."""

    finished = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body[: len(body) // 2])
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.write(body[len(body) // 2 :])
            await writer.drain()
        writer.close()
        finished.set()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    generator = OpenAIImageGenerator("sk-test", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "m")
    await generator.open()
    yield generator
    await generator.close()
    await finished.wait()
    server.close()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("identity", DOCUMENT),
        ("made-up", DOCUMENT),
        ("GZip", gzip.compress(DOCUMENT)),
        ("deflate", zlib.compress(DOCUMENT)),
        ("deflate", raw_deflate(DOCUMENT)),
    ],
)
async def test_a_body_is_decompressed(coding: str, body: bytes) -> None:
    async with answering(body, coding) as generator:
        [image] = await generator.generate(GenerationRequest("p"))
    assert image.data == PICTURE


@pytest.mark.parametrize(("coding", "body"), [("gzip", b"no gzip"), ("deflate", b"\xff\xff no deflate")])
async def test_a_wrongly_compressed_body_is_refused(coding: str, body: bytes) -> None:
    async with answering(body, coding) as generator:
        with pytest.raises(GeneratorResponseError, match="unpacked"):
            await generator.generate(GenerationRequest("p"))


@pytest.mark.parametrize("end", [b"", bytes(100_000)], ids=["cut off", "damaged"])
async def test_the_beginning_of_a_broken_compressed_body_is_kept(end: bytes) -> None:
    packed = gzip.compress(DOCUMENT)
    body = packed[: len(packed) - 100_000] + end
    async with answering(body, "gzip") as generator:
        with pytest.raises(GeneratorResponseError) as caught:
            await generator.generate(GenerationRequest("p"))
    assert caught.value.raw is not None
    assert len(caught.value.raw) > 50_000
    assert DOCUMENT.startswith(caught.value.raw[:50_000])
