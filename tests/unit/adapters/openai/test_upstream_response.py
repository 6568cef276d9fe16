"""Bodies with a content coding are decompressed within bounds, or refused."""

import gzip
import zlib

import pytest

from pixyproxy.adapters.openai.upstream_response import (
    KEPT_BYTES,
    MAX_CODINGS,
    MAX_PIECE_BYTES,
    UpstreamResponse,
    decode_content,
    read_body,
)
from pixyproxy.domain.errors import GeneratorResponseError

DATA = bytes(range(256)) * 4000
MIB = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def answer(body: bytes, *codings: str, piece: int = 1000) -> UpstreamResponse:
    pieces = iter([body[start : start + piece] for start in range(0, len(body), piece)])

    async def read() -> bytes:
        return next(pieces, b"")

    async def close() -> None:
        pass

    return UpstreamResponse({}, decode_content(read, codings), close)


@pytest.mark.parametrize("piece", [3, 1000, 10_000_000])
@pytest.mark.parametrize(
    ("codings", "body"),
    [
        ((), DATA),
        (("identity",), DATA),
        (("made up",), DATA),
        (("gzip",), gzip.compress(DATA)),
        ((" GZip ",), gzip.compress(DATA)),
        (("gzip",), gzip.compress(DATA) + b"what follows is left"),
        (("deflate",), zlib.compress(DATA)),
        (("deflate",), raw_deflate(DATA)),
        (("deflate", "identity", "gzip"), gzip.compress(zlib.compress(DATA))),
        (("gzip",) * MAX_CODINGS, gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(DATA)))))),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else "",
)
async def test_a_body_is_decompressed(codings: tuple[str, ...], body: bytes, piece: int) -> None:
    assert await read_body(answer(body, *codings, piece=piece), len(DATA)) == DATA


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        (("gzip",), b"no gzip"),
        (("deflate",), b"\xff\xff no deflate"),
        (("gzip",), gzip.compress(DATA)[:-8] + bytes(8)),
        (("gzip",) * (MAX_CODINGS + 1), DATA),
    ],
)
async def test_a_wrongly_compressed_body_is_refused(codings: tuple[str, ...], body: bytes) -> None:
    with pytest.raises(GeneratorResponseError, match="unpacked"):
        await read_body(answer(body, *codings), MIB)


async def test_the_beginning_of_a_broken_compressed_body_is_kept() -> None:
    body = await read_body(answer(gzip.compress(DATA, compresslevel=0)[:5000], "gzip"), MIB)
    assert 0 < len(body) < 5000
    assert DATA.startswith(body)


async def test_a_decompression_bomb_is_cut_off() -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    pieces = answer(bomb, "gzip", piece=len(bomb))
    assert len(await pieces.read()) == MAX_PIECE_BYTES
    with pytest.raises(GeneratorResponseError, match="too large") as caught:
        await read_body(answer(bomb, "gzip", piece=len(bomb)), 3 * MIB)
    assert caught.value.raw == bytes(KEPT_BYTES)
