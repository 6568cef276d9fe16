"""Pictures that are made to keep a parser busy: it reads a bounded part of them, and never in the event loop."""

import asyncio
import io
import struct
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from pixyproxy.adapters.pillow import decoding, picture_inspector, picture_scaler
from pixyproxy.adapters.pillow.header_bytes import MAX_BYTES, MAX_READS, HeaderBytes
from pixyproxy.adapters.pillow.picture_inspector import PillowPictureInspector
from pixyproxy.adapters.pillow.picture_scaler import PillowPictureScaler
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture

MIB = 1024 * 1024
LENGTH = 20 * MIB
NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


def picture(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (61, 37)).save(out, form, **options)
    return out.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def filled(unit: bytes) -> bytes:
    return unit * (LENGTH // len(unit))


def nested(depth: int) -> bytes:
    """Return boxes in boxes, all of which end together."""
    return b"".join(struct.pack(">I4s", 8 * (depth - level), b"meta") for level in range(depth))


JPEG, PNG, GIF, WEBP, AVIF, TIFF = (picture(form) for form in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF"))
AVIF_META = AVIF.index(b"meta") - 4
FTYP = box(b"ftyp", b"heic\0\0\0\0heicmif1")
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")

HOSTILE: dict[str, Callable[[], bytes]] = {
    "jpeg of tiny segments": lambda: JPEG[:2] + filled(segment(0xEB, b"")),
    "jpeg of segments of length 0": lambda: JPEG[:2] + filled(b"\xff\xeb\0\0"),
    "jpeg of fill bytes": lambda: JPEG[:2] + filled(b"\xff"),
    "jpeg of markers": lambda: JPEG[:2] + filled(b"\xff\xd0"),
    "jpeg of other bytes": lambda: JPEG[:2] + b"\xff" + filled(b"\0"),
    "jpeg of frames": lambda: JPEG[:2] + filled(segment(0xC0, b"\x08\0\x25\0\x3d\x03")),
    "png of tiny chunks": lambda: PNG[:33] + filled(chunk(b"tEXt", b"")),
    "png of one giant chunk": lambda: PNG[:33] + struct.pack(">I", LENGTH) + b"tEXt" + bytes(LENGTH),
    "png that never ends": lambda: PNG[:33] + struct.pack(">I", 2**32 - 1) + b"tEXt" + bytes(LENGTH),
    "gif of endless blocks": lambda: GIF[:6] + bytes(4) + filled(b"!\xfe\x01a\0"),
    "webp of tiny chunks": lambda: riff(filled(b"ABCD\0\0\0\0")),
    "heic of tiny boxes": lambda: FTYP + filled(box(b"free", b"")),
    "heic of properties": lambda: (
        FTYP + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", filled(box(b"ispe", bytes(12))))))
    ),
    "heic of items": lambda: FTYP + box(b"meta", bytes(4) + filled(box(b"infe", b""))),
    "heic of nested boxes": lambda: FTYP + nested(LENGTH // 8),
    "heic of boxes of length 0": lambda: FTYP + filled(b"\0\0\0\0free"),
    "heic of boxes of length 1": lambda: FTYP + filled(struct.pack(">I4sQ", 1, b"free", 16)),
    "heic of boxes that go back": lambda: FTYP + filled(struct.pack(">I4sQ", 1, b"free", 2**64 - 8)),
    "heic of names": lambda: FTYP + box(b"meta", filled(b"ispe")),
    "avif of tiny boxes": lambda: AVIF[:AVIF_META] + filled(box(b"free", b"")),
    "jxl of tiny boxes": lambda: JXL + filled(box(b"free", b"")),
    "tiff of entries": lambda: b"II*\0\x08\0\0\0\xff\xff" + filled(struct.pack("<HHII", 1, 4, 1, 0)),
    "tiff of a directory at the end": lambda: (
        b"II*\0" + struct.pack("<I", LENGTH - 2) + bytes(LENGTH - 10) + b"\xff\xff"
    ),
    "big tiff of entries": lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**64 - 1) + filled(bytes(20)),
    "svg of blanks": lambda: b"<svg" + filled(b" ") + b"/>",
    "svg of blanks in front": lambda: b"<?xml version='1.0'?><!-- svg -->" + filled(b" ") + b"<svg/>",
    "svg of a long value": lambda: f"<svg {NAMESPACE} width='".encode() + filled(b" ") + b"'/>",
    "svg of attributes": lambda: (
        f"<svg {NAMESPACE} ".encode() + b" ".join(b"a%d=''" % n for n in range(LENGTH // 12)) + b"/>"
    ),
    "svg of namespaces": lambda: b"<svg " + b" ".join(b"xmlns:a%d='a%d'" % (n, n) for n in range(LENGTH // 24)) + b"/>",
    "svg of comments": lambda: b"<!--svg-->" + filled(b"<!---->") + b"<svg/>",
    "svg of entities": lambda: (
        b"<!DOCTYPE svg [<!ENTITY a0 'aaaaaaaaaa'>"
        + b"".join(b"<!ENTITY a%d '%b'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 30))
        + b"]><svg width='&a29;'/>"
    ),
    "svg of declared attributes": lambda: (
        b"<!DOCTYPE svg [<!ATTLIST svg " + b" ".join(b"a%d CDATA ''" % n for n in range(LENGTH // 18)) + b">]><svg/>"
    ),
    "svg of nested models": lambda: b"<!DOCTYPE svg [<!ELEMENT svg " + filled(b"("),
}
"""Pictures of no size within the bounds of a header, made when they are needed: together they are a gigabyte."""

ORDINARY: dict[str, Callable[[], tuple[bytes, str]]] = {
    "jpeg behind a large manifest": lambda: ((JPEG[:2] + segment(0xEB, bytes(65_000)) * 60 + JPEG[2:], "image/jpeg")),
    "jpeg behind a thousand segments": lambda: ((JPEG[:2] + segment(0xEB, b"a") * 1000 + JPEG[2:], "image/jpeg")),
    "jpeg with fill bytes": lambda: ((JPEG[:2] + b"\xff" * 50 + JPEG[2:], "image/jpeg")),
    "png with a large manifest": lambda: ((PNG[:33] + chunk(b"caBX", bytes(6 * MIB)) + PNG[33:], "image/png")),
    "gif with many frames": lambda: ((GIF + filled(b"!\xfe\x01a\0"), "image/gif")),
    "webp with a large manifest": lambda: (
        (
            riff(WEBP[12:] + b"C2PA" + struct.pack("<I", 6 * MIB) + bytes(6 * MIB)),
            "image/webp",
        )
    ),
    "avif with a large manifest": lambda: (
        (
            AVIF[:AVIF_META] + box(b"uuid", bytes(6 * MIB)) + AVIF[AVIF_META:],
            "image/avif",
        )
    ),
    "tiff with its directory at the end": lambda: (
        (
            b"II*\0"
            + struct.pack("<I", 6 * MIB)
            + bytes(6 * MIB - 8)
            + struct.pack("<HHHIHHHHIHH", 2, 256, 3, 1, 61, 0, 257, 3, 1, 37, 0),
            "image/tiff",
        )
    ),
    "svg behind a long comment": lambda: (
        (
            b"<!-- svg " + b"a" * 500_000 + f"--><svg {NAMESPACE} width='61' height='37'/>".encode(),
            "image/svg+xml",
        )
    ),
    "svg that is long": lambda: (
        (
            f"<!-- svg --><svg {NAMESPACE} width='61' height='37'>".encode() + filled(b"<a/>") + b"</svg>",
            "image/svg+xml",
        )
    ),
}


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> list[HeaderBytes]:
    """Record the readers of headers."""
    made: list[HeaderBytes] = []

    class Recorded(HeaderBytes):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            made.append(self)

    monkeypatch.setattr(picture_inspector, "HeaderBytes", Recorded)
    return made


def require_bounded(headers: list[HeaderBytes]) -> None:
    [head] = headers
    # The read that is one too many is counted and not made.
    assert head.reads <= MAX_READS + 1
    assert head.bytes_read <= MAX_BYTES + 64 * 1024


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_header_is_refused_after_a_bounded_part(name: str, headers: list[HeaderBytes]) -> None:
    with pytest.raises(DataValidationError):
        await PillowPictureInspector().inspect(HOSTILE[name]())
    require_bounded(headers)


@pytest.mark.parametrize("name", ["svg of entities", "svg of declared attributes", "svg of nested models"])
async def test_an_svg_with_declarations_is_given_up_at_once(name: str, headers: list[HeaderBytes]) -> None:
    for data in (HOSTILE[name](), b"<!DOCTYPE svg [<!ATTLIST svg width CDATA '1'>]><svg/>"):
        headers.clear()
        with pytest.raises(DataValidationError):
            await PillowPictureInspector().inspect(data)
        assert headers[0].reads == 1


@pytest.mark.parametrize("name", ORDINARY)
async def test_a_long_header_is_read_in_a_bounded_part(name: str, headers: list[HeaderBytes]) -> None:
    data, media_type = ORDINARY[name]()
    assert await PillowPictureInspector().inspect(data) == Picture(media_type, 61, 37)
    require_bounded(headers)
    assert headers[0].bytes_read < MIB


async def test_other_bytes_are_looked_at_in_their_beginning_only() -> None:
    class Watched(bytes):
        def find(self, *_: Any) -> int:
            raise AssertionError("searched as a whole")

        __contains__ = index = count = find  # type: ignore[assignment]

        def __getitem__(self, at: Any) -> Any:
            assert isinstance(at, slice)
            assert 0 <= at.stop <= 8192
            return super().__getitem__(at)

    for unit in (b" ", b"<", b"svg", b"\xef\xbb\xbf"):
        with pytest.raises(DataValidationError):
            await PillowPictureInspector().inspect(Watched(filled(unit)))


async def test_no_header_is_read_in_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    read = picture_inspector.inspect_header

    def recorded(data: bytes) -> Picture:
        threads.append(threading.get_ident())
        return read(data)

    monkeypatch.setattr(picture_inspector, "inspect_header", recorded)
    monkeypatch.setattr(picture_scaler, "inspect_header", recorded)
    assert await PillowPictureInspector().inspect(PNG) == Picture("image/png", 61, 37)
    scaler = PillowPictureScaler()
    await scaler.open()
    await scaler.scale(PNG, 16, "image/webp")
    await scaler.placeholder(PNG)
    await scaler.close()
    assert len(threads) == 3
    assert threading.get_ident() not in threads


COUNTED: dict[str, Callable[[], bytes]] = {
    "jpeg of large segments": lambda: JPEG[:2] + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 80 + JPEG[2:],
    "png of empty chunks before its pixels": lambda: (
        PNG[:33] + chunk(b"tEXt", b"a\0b") * 1000 + chunk(b"tEXt", bytes(9 * MIB)) + PNG[33:]
    ),
    "png of empty chunks of pixels": lambda: PNG[:33] + chunk(b"IDAT", b"") * (LENGTH // 12) + PNG[33:],
    "png of chunks behind its pixels": lambda: PNG[:-12] + chunk(b"abCD", b"") * (LENGTH // 12) + PNG[-12:],
    "gif of comments": lambda: (
        GIF[: (at := GIF.index(b",", 13 + 3 * (2 << (GIF[10] & 7)) * (GIF[10] >> 7)))]
        + b"!\xfe"
        + filled(b"\x01a")
        + b"\0"
        + GIF[at:]
    ),
}
LOCKING: dict[str, Callable[[], bytes]] = {
    "webp of chunks": lambda: riff(WEBP[12:] + filled(b"ABCD\0\0\0\0")),
    "avif of boxes": lambda: AVIF + filled(box(b"free", b"")),
    "avif of many items": lambda: (
        AVIF[:AVIF_META] + box(b"meta", bytes(4) + box(b"iloc", bytes(MIB)) + AVIF[AVIF_META + 12 :])
    ),
    "jpeg of scans": lambda: JPEG + segment(0xDA, b"\x01\x01\0\0\0\0") * 200,
}
"""Pictures over which a library in C takes long while it holds the interpreter's lock."""


@pytest.fixture
async def scaler() -> PillowPictureScaler:
    scaler = PillowPictureScaler(timeout_s=600)
    await scaler.open()
    return scaler


@pytest.mark.parametrize("name", COUNTED)
async def test_a_decoder_reads_a_limited_number_of_pieces(
    name: str, scaler: PillowPictureScaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[decoding.BoundedFile] = []

    class Recorded(decoding.BoundedFile):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            files.append(self)

    monkeypatch.setattr(decoding, "BoundedFile", Recorded)
    with pytest.raises(DataValidationError, match="damaged"):
        await scaler.scale(COUNTED[name](), 16, "image/webp")
    await scaler.close()
    [file] = files
    assert file.opening_bytes <= MAX_BYTES + 16 * MIB
    assert file.reads <= (decoding.MAX_READS if file.is_open else decoding.MAX_OPENING_READS) + 1


@pytest.mark.parametrize("name", LOCKING)
async def test_a_library_that_would_take_long_is_not_called(
    name: str, scaler: PillowPictureScaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("called")

    errors: list[BaseException | None] = []
    decode: Callable[..., Any] = decoding._decode

    def recorded(*arguments: Any) -> Any:
        try:
            return decode(*arguments)
        except BaseException as error:
            errors.append(error)
            raise

    monkeypatch.setattr(decoding, "_decode", recorded)
    monkeypatch.setattr(decoding, "READERS", dict.fromkeys(decoding.READERS, fail))
    with pytest.raises(DataValidationError, match="damaged"):
        await scaler.scale(LOCKING[name](), 16, "image/webp")
    await scaler.close()
    assert [type(error) for error in errors] == [ValueError]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
async def test_ordinary_pictures_are_decoded(form: str, scaler: PillowPictureScaler) -> None:
    for data in (picture(form), picture(form, **({} if form == "GIF" else {"icc_profile": bytes(3000)}))):
        assert (await scaler.scale(data, 16, "image/webp")).startswith(b"RIFF")
    manifest = {
        "JPEG": JPEG[:2] + segment(0xEB, bytes(60_000)) * 50 + JPEG[2:],
        "AVIF": AVIF + box(b"uuid", bytes(MIB)),
    }
    await asyncio.gather(*(scaler.scale(data, 16, "image/webp") for data in manifest.values()))
    await scaler.close()
