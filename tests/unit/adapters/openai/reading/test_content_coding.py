"""Bodies with a content coding are unpacked as far as they go."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd

from pixyproxy.adapters.openai.reading.content_coding import MAX_CODINGS, codings_of, sniff_coding, unpack

DATA = bytes(range(256)) * 400
MIB = 1024 * 1024


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def coding_of(value: object) -> str:
    """Return the id of a parameter: its text, and nothing for bytes."""
    return value if isinstance(value, str) else ""


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def fast_brotli(data: bytes) -> bytes:
    return brotli.compress(data, quality=4)


def packed(data: bytes, *packers: Callable[[bytes], bytes]) -> bytes:
    for pack in packers:
        data = pack(data)
    return data


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("", DATA),
        (None, DATA),
        ("identity", DATA),
        ("made up", DATA),
        ("gzip", gzipped(DATA)),
        (" GZip ", gzipped(DATA)),
        ("x-gzip", gzipped(DATA)),
        ("gzip", gzipped(DATA) + b"what follows is left"),
        ("gzip", gzipped(DATA[:9]) + gzipped(b"") + gzipped(DATA[9:])),
        ("gzip", gzipped(DATA[:-1]) + gzipped(DATA[-1:]) + bytes(9)),
        ("gzip", gzipped(DATA)[:-8]),
        ("gzip", gzipped(DATA)[:-8] + bytes(8)),
        ("deflate", zlib.compress(DATA)),
        ("deflate", raw_deflate(DATA)),
        ("x-deflate", zlib.compress(DATA)),
        ("br", brotli.compress(DATA)),
        ("zstd", zstd.compress(DATA)),
        ("deflate, identity, gzip", packed(DATA, zlib.compress, gzipped)),
        ("br,gzip", packed(DATA, brotli.compress, gzipped)),
        (", ".join(["gzip"] * MAX_CODINGS), packed(DATA, *[gzipped] * MAX_CODINGS)),
    ],
    ids=coding_of,
)
def test_a_body_is_unpacked(header: str | None, body: bytes) -> None:
    assert unpack(body, codings_of(header), MIB) == DATA


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_is_not_packed_is_returned_as_it_is(coding: str) -> None:
    assert unpack(b'{"data": []}', [coding], MIB) == b'{"data": []}'


def test_too_many_codings_are_not_undone() -> None:
    assert unpack(DATA, ["gzip"] * (MAX_CODINGS + 1), MIB) == DATA


@pytest.mark.parametrize("pack", [gzipped, zlib.compress, fast_brotli, zstd.compress])
def test_what_comes_before_a_damage_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    text = b"".join(b"%x," % (number * 2_654_435_761) for number in range(60_000))
    body = pack(text)
    codings = {gzipped: "gzip", zlib.compress: "deflate", fast_brotli: "br", zstd.compress: "zstd"}
    unpacked = unpack(body[: len(body) // 2], [codings[pack]], MIB)
    assert len(unpacked) > len(text) // 4
    assert text.startswith(unpacked)


@pytest.mark.parametrize(("pack", "coding"), [(gzipped, "gzip"), (zstd.compress, "zstd"), (brotli.compress, "br")])
def test_a_decompression_bomb_is_cut_off(pack: Callable[[bytes], bytes], coding: str) -> None:
    assert unpack(pack(bytes(8 * MIB)), [coding], MIB) == bytes(MIB)


@pytest.mark.parametrize(
    ("data", "codings"),
    [
        (gzipped(DATA), ["gzip"]),
        (zstd.compress(DATA), ["zstd"]),
        *((zlib.compress(DATA, level), ["deflate"]) for level in (1, 3, 6, 9)),
        (b'{"data": []}', []),
        (b"", []),
        (b"\x89PNG", []),
    ],
)
def test_a_coding_is_recognised_without_its_label(data: bytes, codings: list[str]) -> None:
    assert sniff_coding(data) == codings
