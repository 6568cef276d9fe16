"""Conformance suite of the port PictureInspector.

An adapter's suite subclasses `PictureInspectorContract` and supplies the fixture `inspector`. The pictures are made by
hand or with Pillow's encoders.
"""

import asyncio
import io
import struct
import zlib
from typing import Any, ClassVar

import pytest
from PIL import Image, features

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture
from pixyproxy.ports.pictures.picture_inspector import PictureInspector

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png": ("PNG", "RGB", {}),
    "png with alpha": ("PNG", "RGBA", {}),
    "png with palette": ("PNG", "P", {}),
    "png of 16 bits": ("PNG", "I;16", {}),
    "png of 1 bit": ("PNG", "1", {}),
    "jpeg": ("JPEG", "RGB", {}),
    "progressive jpeg": ("JPEG", "RGB", {"progressive": True}),
    "grey jpeg": ("JPEG", "L", {}),
    "cmyk jpeg": ("JPEG", "CMYK", {}),
    "gif": ("GIF", "P", {}),
    "lossy webp": ("WEBP", "RGB", {}),
    "lossless webp": ("WEBP", "RGB", {"lossless": True}),
    "webp with alpha": ("WEBP", "RGBA", {}),
    "lossless webp with alpha": ("WEBP", "RGBA", {"lossless": True}),
    "webp with profile": ("WEBP", "RGB", {"icc_profile": b"profile", "exif": b"Exif\x00\x00"}),
    "avif": ("AVIF", "RGB", {}),
    "avif with alpha": ("AVIF", "RGBA", {}),
}
ANIMATED = ("PNG", "GIF", "WEBP", "AVIF")


def encoded(kind: str, size: tuple[int, int] = (61, 37)) -> bytes:
    """Return a small picture of one of the KINDS."""
    name, mode, options = KINDS[kind]
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, name, **options)
    return buffer.getvalue()


def animated(name: str) -> bytes:
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (61, 37), colour) for colour in ("red", "green", "blue")]
    frames[0].save(buffer, name, save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """Return a tiny PNG whose header claims a size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


def gif_of_size(width: int, height: int) -> bytes:
    one = encoded("gif", (1, 1))
    return one[:6] + struct.pack("<HH", width, height) + one[10:]


def jpeg_of_size(width: int, height: int) -> bytes:
    one = encoded("jpeg", (1, 1))
    at = one.index(b"\xff\xc0") + 5
    return one[:at] + struct.pack(">HH", height, width) + one[at + 4 :]


def webp_of_size(width: int, height: int) -> bytes:
    """Return an extended WebP, the only kind that can claim more than 16,383 pixels a side."""
    canvas = struct.pack("<I", 0) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + encoded("lossless webp", (1, 1))[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


class PictureInspectorContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[PictureInspector]]

    @pytest.fixture
    def inspector(self) -> PictureInspector:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    def test_subclasses_its_port(self, inspector: PictureInspector) -> None:
        assert PictureInspector in self.adapter.__mro__
        assert type(inspector) is self.adapter

    @pytest.mark.parametrize("kind", KINDS)
    async def test_type_and_size_are_found(self, inspector: PictureInspector, kind: str) -> None:
        media_type = f"image/{KINDS[kind][0].lower()}"
        assert await inspector.inspect(encoded(kind)) == Picture(media_type, 61, 37)
        assert await inspector.inspect(encoded(kind, (1, 1))) == Picture(media_type, 1, 1)

    @pytest.mark.parametrize("name", ANIMATED)
    async def test_animated_pictures_are_pictures(self, inspector: PictureInspector, name: str) -> None:
        assert await inspector.inspect(animated(name)) == Picture(f"image/{name.lower()}", 61, 37)

    async def test_the_largest_usual_pictures_are_accepted(self, inspector: PictureInspector) -> None:
        for size in ((1024, 1024), (1536, 1024), (4096, 4096), (7680, 4320)):
            assert await inspector.inspect(png_of_size(*size)) == Picture("image/png", *size)

    async def test_bytes_after_the_picture_are_ignored(self, inspector: PictureInspector) -> None:
        assert await inspector.inspect(encoded("png") + b"trailing" * 1000) == Picture("image/png", 61, 37)

    async def test_the_pixels_are_not_decoded(self, inspector: PictureInspector) -> None:
        whole = encoded("png", (500, 500))
        at = whole.index(b"IDAT") + 4
        broken = whole[:at] + bytes(len(whole) - at)
        assert await inspector.inspect(broken) == Picture("image/png", 500, 500)

    @pytest.mark.parametrize("make", [png_of_size, gif_of_size, jpeg_of_size, webp_of_size])
    @pytest.mark.parametrize("size", [(65_000, 65_000), (65_000, 1), (1, 65_000), (16_000, 16_000)])
    async def test_absurd_dimensions_are_refused(
        self, inspector: PictureInspector, make: Any, size: tuple[int, int]
    ) -> None:
        with pytest.raises(DataValidationError, match="pixels"):
            await inspector.inspect(make(*size))

    @pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0), (2**31, 2**31), (2**32 - 1, 1)])
    async def test_impossible_dimensions_are_refused(self, inspector: PictureInspector, size: tuple[int, int]) -> None:
        with pytest.raises(DataValidationError):
            await inspector.inspect(png_of_size(*size))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x00",
            b"plain text",
            b"<!DOCTYPE html><html><body>502</body></html>",
            b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><svg/></html>',
            b'{"error": {"message": "no"}}',
            b"%PDF-1.7\n",
            b"BM" + bytes(100),
            b"II*\x00" + bytes(100),
            b"\x00\x00\x01\x00" + bytes(100),
            b"RIFF\x00\x00\x00\x00WAVEfmt ",
            b"RIFF\x00\x00\x00\x00WEBP",
            b"RIFF\x00\x00\x00\x00WEBPVP8X",
            b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
            b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42",
            b"\xff\xff\xff\xffftypavif",
            b"\xff\xd8\xff",
            b"GIF89a",
            bytes(100_000),
        ],
        ids=lambda data: ascii(data[:24]),
    )
    async def test_other_data_is_refused(self, inspector: PictureInspector, data: bytes) -> None:
        with pytest.raises(DataValidationError) as caught:
            await inspector.inspect(data)
        assert caught.value.message.isprintable()

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_truncated_header_is_refused(self, inspector: PictureInspector, kind: str) -> None:
        data = encoded(kind)
        for length in range(24):
            with pytest.raises(DataValidationError):
                await inspector.inspect(data[:length])

    @pytest.mark.parametrize("kind", KINDS)
    async def test_damaged_data_is_a_picture_or_refused(self, inspector: PictureInspector, kind: str) -> None:
        data = encoded(kind)
        for at in range(min(len(data), 400)):
            for value in (0x00, 0xFF, data[at] ^ 0x01, data[at] ^ 0x80):
                damaged = data[:at] + bytes([value]) + data[at + 1 :]
                for candidate in (damaged, damaged[: at + 1]):
                    try:
                        picture = await inspector.inspect(candidate)
                    except DataValidationError:
                        continue
                    assert picture.width > 0
                    assert picture.height > 0

    async def test_concurrent_calls_in_several_threads(self, inspector: PictureInspector) -> None:
        pictures = {kind: encoded(kind) for kind in KINDS}

        async def all_of_them() -> list[Picture]:
            return list(await asyncio.gather(*(inspector.inspect(data) for data in pictures.values())))

        expected = [Picture(f"image/{KINDS[kind][0].lower()}", 61, 37) for kind in pictures]
        for found in await asyncio.gather(*(asyncio.to_thread(asyncio.run, all_of_them()) for _ in range(16))):
            assert found == expected
