"""PillowPictureInspector: the port's contract, limits and SVG."""

import io
import resource
import struct
from typing import Any

import pytest
from PIL import Image

from pixyproxy.adapters.pillow.picture_inspector import PillowPictureInspector
from pixyproxy.adapters.pillow.picture_scaler import PillowPictureScaler
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture
from tests.conformance.contracts.picture_inspector import (
    PictureInspectorContract,
    png_of_size,
    webp_of_size,
)


class TestPillowPictureInspector(PictureInspectorContract):
    adapter = PillowPictureInspector

    @pytest.fixture
    def inspector(self) -> PillowPictureInspector:
        return PillowPictureInspector()


async def test_the_limits_are_exact() -> None:
    inspector = PillowPictureInspector()
    assert await inspector.inspect(png_of_size(16_384, 6_103)) == Picture("image/png", 16_384, 6_103)
    assert await inspector.inspect(png_of_size(10_000, 10_000)) == Picture("image/png", 10_000, 10_000)
    for size in ((16_385, 1), (1, 16_385), (10_000, 10_001)):
        with pytest.raises(DataValidationError, match="at most"):
            await inspector.inspect(png_of_size(*size))


async def test_a_large_picture_needs_no_memory_and_ignores_the_limit_of_pillow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    inspector = PillowPictureInspector()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in (png_of_size(10_000, 10_000), webp_of_size(10_000, 10_000)):
        picture = await inspector.inspect(data)
        assert (picture.width, picture.height) == (10_000, 10_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; one such canvas takes 400,000


NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


@pytest.mark.parametrize(
    ("root", "size"),
    [
        (f'<svg {NAMESPACE} width="640" height="480px">', (640, 480)),
        (f'<svg {NAMESPACE} width="10.2" height="0.5">', (11, 1)),
        (f'<svg {NAMESPACE} viewBox="0 0 24 16">', (24, 16)),
        (f'<svg {NAMESPACE} viewBox="0,0,24,16" width="100%" height="5em">', (24, 16)),
        (f"<svg {NAMESPACE}>", (300, 150)),
        ('<svg width="7" height="9">', (7, 9)),
        (f'\ufeff<?xml version="1.0"?>\n<!-- a duck -->\n<svg {NAMESPACE} width="7" height="9">', (7, 9)),
        (
            f'<?xml version="1.0"?><!DOCTYPE svg><s:svg {NAMESPACE.replace("xmlns", "xmlns:s")} viewBox="0 0 3 4">',
            (3, 4),
        ),
    ],
)
async def test_the_size_of_an_svg(root: str, size: tuple[int, int]) -> None:
    end = "</s:svg>" if "<s:svg" in root else "</svg>"
    picture = await PillowPictureInspector().inspect(f"{root}<path d='M0 0'/>{end}".encode())
    assert picture == Picture("image/svg+xml", *size)


@pytest.mark.parametrize(
    "text",
    [
        "<html><svg/></html>",
        "<svg",
        "<?xml version='1.0'?><!-- <svg -->",
        "<!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg width='1' height='1'>&a;</svg>",
        "<svg width='0' height='1'/>",
        "<svg width='99999' height='1'/>",
    ],
)
async def test_an_invalid_svg_is_refused(text: str) -> None:
    with pytest.raises(DataValidationError):
        await PillowPictureInspector().inspect(text.encode())


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def heif(brands: bytes, *sizes: tuple[int, int]) -> bytes:
    """Return the boxes of a HEIF picture with these `ispe` properties."""
    properties = b"".join(box(b"ispe", struct.pack(">III", 0, *size)) for size in sizes)
    meta = bytes(4) + box(b"iprp", box(b"ipco", properties))
    return box(b"ftyp", brands[:4] + bytes(4) + brands) + box(b"meta", meta) + box(b"mdat", b"ispe" + b"\xff" * 40)


def bits(*fields: tuple[int, int]) -> bytes:
    """Return fields of (value, width), lowest bits first, as the codestream of JPEG XL has them."""
    number = shift = 0
    for value, width in fields:
        number |= value << shift
        shift += width
    return b"\xff\x0a" + number.to_bytes(16, "little")


def saved(form: str, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (61, 37)).save(out, form, **options)
    return out.getvalue()


OTHERS = {
    "bmp": (saved("BMP"), "image/bmp", (61, 37)),
    "bmp from the top": (saved("BMP")[:22] + struct.pack("<i", -37) + saved("BMP")[26:], "image/bmp", (61, 37)),
    "bmp of os/2": (b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 61, 37, 1, 24), "image/bmp", (61, 37)),
    "tiff": (saved("TIFF"), "image/tiff", (61, 37)),
    "tiff of 16 bits": (saved("TIFF", "I;16"), "image/tiff", (61, 37)),
    "tiff of floats": (saved("TIFF", "F"), "image/tiff", (61, 37)),
    "big endian tiff": (
        b"MM\0*" + struct.pack(">IHHHIHHHHIHH", 8, 2, 256, 3, 1, 61, 0, 257, 3, 1, 37, 0),
        "image/tiff",
        (61, 37),
    ),
    "big tiff": (saved("TIFF", big_tiff=True), "image/tiff", (61, 37)),
    "heic": (heif(b"heicmif1", (30, 20), (61, 37)), "image/heic", (61, 37)),
    "heif": (heif(b"mif1", (61, 37)), "image/heif", (61, 37)),
    "jxl small": (bits((1, 1), (3, 5), (0, 3), (6, 5)), "image/jxl", (56, 32)),
    "jxl by ratio": (bits((0, 1), (1, 2), (1079, 13), (5, 3)), "image/jxl", (1920, 1080)),
    "jxl": (bits((0, 1), (0, 2), (36, 9), (0, 3), (0, 2), (60, 9)), "image/jxl", (61, 37)),
    "jxl in a container": (
        b"\0\0\0\x0cJXL \r\n\x87\n"
        + box(b"ftyp", b"jxl \0\0\0\0jxl ")
        + box(b"jxlc", bits((1, 1), (3, 5), (0, 3), (6, 5))),
        "image/jxl",
        (56, 32),
    ),
    "jxl in parts": (
        b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlp", bytes(4) + bits((1, 1), (3, 5), (0, 3), (6, 5))),
        "image/jxl",
        (56, 32),
    ),
}


@pytest.mark.parametrize(("data", "media_type", "size"), OTHERS.values(), ids=list(OTHERS))
async def test_pictures_that_are_only_stored_and_sent(data: bytes, media_type: str, size: tuple[int, int]) -> None:
    picture = await PillowPictureInspector().inspect(data)
    assert (picture.media_type, (picture.width, picture.height)) == (media_type, size)
    scaler = PillowPictureScaler()
    await scaler.open()
    with pytest.raises(DataValidationError, match=f"no thumbnail of {media_type}"):
        await scaler.scale(data, 128, "image/webp")
    await scaler.close()


@pytest.mark.parametrize("data", [data for data, _, _ in OTHERS.values()], ids=list(OTHERS))
async def test_those_that_end_early_are_no_pictures(data: bytes) -> None:
    for length in range(2, 4 if data.startswith(b"\xff\x0a") else 20):
        with pytest.raises(DataValidationError):
            await PillowPictureInspector().inspect(data[:length])
