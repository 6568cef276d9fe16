"""Conformance suite of the port PictureScaler.

An adapter's suite subclasses `PictureScalerContract` and supplies the fixtures `unopened` and `small`, which works on
one picture at a time while one more waits. `scaler` is `unopened`, opened and closed again.
"""

import asyncio
import base64
import io
import os
import threading
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from PIL import Image

from pixyproxy.domain.errors import CapacityExceededError, DataValidationError
from pixyproxy.ports.pictures.picture_scaler import MAX_PLACEHOLDER, PictureScaler
from tests.conformance.contracts.picture_inspector import (
    ANIMATED,
    KINDS,
    animated,
    encoded,
    gif_of_size,
    jpeg_of_size,
    png_of_size,
    webp_of_size,
)

FORMATS = {"image/webp": "WEBP", "image/jpeg": "JPEG"}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"/>'


def picture(
    size: tuple[int, int], mode: str = "RGB", kind: str = "PNG", colour: object = "red", **options: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def noise(size: tuple[int, int], mode: str) -> bytes:
    out = io.BytesIO()
    Image.frombytes(mode, size, os.urandom(size[0] * size[1] * len(mode))).save(out, "PNG")
    return out.getvalue()


def halves(kind: str, orientation: int, size: tuple[int, int] = (200, 100)) -> bytes:
    """Return a picture that is red on the left and blue on the right before orientation."""
    image, exif, out = Image.new("RGB", size, "red"), Image.Exif(), io.BytesIO()
    image.paste("blue", (size[0] // 2, 0, *size))
    exif[0x0112] = orientation
    image.save(out, kind, exif=exif)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def is_like(found: object, colour: tuple[int, ...]) -> bool:
    """Return whether a pixel is nearly of a colour: both formats are lossy."""
    assert isinstance(found, tuple)
    return len(found) == len(colour) and all(abs(a - b) < 16 for a, b in zip(found, colour, strict=True))


class PictureScalerContract:
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[PictureScaler]]

    @pytest.fixture
    def unopened(self) -> PictureScaler:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    def small(self) -> PictureScaler:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    async def scaler(self, unopened: PictureScaler) -> AsyncIterator[PictureScaler]:
        await unopened.open()
        yield unopened
        await unopened.close()

    def test_subclasses_its_port(self, unopened: PictureScaler) -> None:
        assert PictureScaler in self.adapter.__mro__
        assert type(unopened) is self.adapter

    # scale

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("media_type", FORMATS)
    async def test_every_kind_of_picture_is_scaled(self, scaler: PictureScaler, kind: str, media_type: str) -> None:
        found = opened(await scaler.scale(encoded(kind, (610, 370)), 61, media_type))
        assert (found.format, found.size) == (FORMATS[media_type], (61, 37))
        found.load()

    @pytest.mark.parametrize(
        ("size", "side", "expected"),
        [
            ((600, 400), 300, (300, 200)),
            ((400, 600), 300, (200, 300)),
            ((300, 300), 300, (300, 300)),
            ((20, 10), 300, (20, 10)),
            ((1, 1), 300, (1, 1)),
            ((3000, 1), 300, (300, 1)),
            ((500, 500), 1, (1, 1)),
        ],
    )
    async def test_proportions_are_kept_and_nothing_is_enlarged(
        self, scaler: PictureScaler, size: tuple[int, int], side: int, expected: tuple[int, int]
    ) -> None:
        for media_type in FORMATS:
            assert opened(await scaler.scale(picture(size), side, media_type)).size == expected

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    async def test_the_declared_orientation_is_applied(self, scaler: PictureScaler, kind: str) -> None:
        turned = {1: (100, 50), 3: (100, 50), 6: (50, 100), 8: (50, 100)}
        for orientation, size in turned.items():
            found = opened(await scaler.scale(halves(kind, orientation), 100, "image/webp"))
            assert found.size == size
            first = {1: "red", 3: "blue", 6: "red", 8: "blue"}[orientation]
            assert is_like(found.convert("RGB").getpixel((5, 5)), (255, 0, 0) if first == "red" else (0, 0, 255))
            assert not found.getexif()

    async def test_transparency_is_kept_or_put_on_white(self, scaler: PictureScaler) -> None:
        clear = picture((200, 100), "RGBA", colour=(0, 0, 0, 0))
        assert opened(await scaler.scale(clear, 50, "image/webp")).convert("RGBA").getpixel((9, 9))[3] == 0  # type: ignore[index]
        assert is_like(opened(await scaler.scale(clear, 50, "image/jpeg")).getpixel((9, 9)), (255, 255, 255))
        half = picture((200, 100), "RGBA", colour=(255, 0, 0, 128))
        assert is_like(opened(await scaler.scale(half, 50, "image/jpeg")).getpixel((9, 9)), (255, 127, 127))
        keyed = picture((200, 100), colour=(0, 0, 0), transparency=(0, 0, 0))
        assert is_like(opened(await scaler.scale(keyed, 50, "image/jpeg")).getpixel((9, 9)), (255, 255, 255))

    @pytest.mark.parametrize("name", ANIMATED)
    async def test_the_first_frame_of_an_animation_is_taken(self, scaler: PictureScaler, name: str) -> None:
        found = opened(await scaler.scale(animated(name), 40, "image/webp"))
        assert getattr(found, "n_frames", 1) == 1
        assert is_like(found.convert("RGB").getpixel((5, 5)), (255, 0, 0))

    async def test_16_bit_grey_stays_grey(self, scaler: PictureScaler) -> None:
        found = opened(await scaler.scale(picture((90, 90), "I;16", colour=0x8000), 30, "image/jpeg")).convert("RGB")
        assert is_like(found.getpixel((5, 5)), (128, 128, 128))

    async def test_other_metadata_is_dropped(self, scaler: PictureScaler) -> None:
        exif = Image.Exif()
        exif[0x010F] = "a secret camera"
        data = picture((90, 90), kind="JPEG", exif=exif, comment=b"a secret comment")
        assert data.count(b"secret") == 2
        for media_type in FORMATS:
            assert b"secret" not in await scaler.scale(data, 30, media_type)

    async def test_another_media_type_or_size_is_a_value_error(self, scaler: PictureScaler) -> None:
        for side, media_type in ((0, "image/webp"), (-1, "image/webp"), (10, "image/png"), (10, "webp")):
            with pytest.raises(ValueError):
                await scaler.scale(picture((9, 9)), side, media_type)

    # placeholder

    @pytest.mark.parametrize("kind", KINDS)
    async def test_every_kind_of_picture_has_a_placeholder(self, scaler: PictureScaler, kind: str) -> None:
        found = likeness(await scaler.placeholder(encoded(kind, (610, 370))))
        assert max(found.size) <= 16

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    async def test_a_placeholder_of_noise_is_short_too(self, scaler: PictureScaler, mode: str) -> None:
        for size in ((16, 16), (300, 300), (900, 20)):
            likeness(await scaler.placeholder(noise(size, mode)))

    async def test_a_placeholder_resembles_the_picture(self, scaler: PictureScaler) -> None:
        found = likeness(await scaler.placeholder(halves("PNG", 1))).convert("RGB")
        assert is_like(found.getpixel((1, 3)), (255, 0, 0))
        assert is_like(found.getpixel((found.width - 2, 3)), (0, 0, 255))

    # What is not decoded

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"no picture",
            SVG,
            encoded("png")[:40],
            encoded("png", (300, 300))[:-100],
            encoded("jpeg", (300, 300))[:-20],
            encoded("lossy webp", (300, 300))[:-20],
            encoded("gif", (300, 300))[:-20],
            noise((300, 300), "RGB")[:100_000],
            png_of_size(7_072, 7_072),
            png_of_size(7_071, 7_071),
            jpeg_of_size(16_000, 16_000),
            webp_of_size(16_000, 16_000),
            gif_of_size(16_000, 16_000),
        ],
        ids=lambda data: ascii(data[:8]) + str(len(data)),
    )
    async def test_other_data_is_refused(self, scaler: PictureScaler, data: bytes) -> None:
        with pytest.raises(DataValidationError):
            await scaler.scale(data, 100, "image/webp")
        with pytest.raises(DataValidationError):
            await scaler.placeholder(data)

    # Bounds

    async def test_calls_over_capacity_are_refused_at_once(self, small: PictureScaler) -> None:
        await small.open()
        data = noise((500, 500), "RGB")
        calls = (small.scale(data, 100, "image/webp"), small.placeholder(data), small.scale(data, 9, "image/jpeg"))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [bytes, str, CapacityExceededError]
        assert await small.scale(data, 100, "image/webp") == outcomes[0]
        await small.close()

    async def test_a_cancelled_call_does_not_affect_others(self, small: PictureScaler) -> None:
        await small.open()
        data = noise((500, 500), "RGB")
        for _ in range(3):
            tasks = [asyncio.create_task(small.scale(data, 100, "image/webp")) for _ in range(2)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert opened(await small.scale(data, 100, "image/webp")).size == (100, 100)
        await small.close()

    async def test_work_does_not_block_the_event_loop(self, scaler: PictureScaler) -> None:
        task = asyncio.create_task(scaler.scale(noise((900, 900), "RGB"), 100, "image/webp"))
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10

    # Opening and closing

    async def test_it_refuses_while_closed_and_works_when_opened_again(self, unopened: PictureScaler) -> None:
        threads = threading.active_count()
        await unopened.close()
        for _ in range(2):
            with pytest.raises(CapacityExceededError):
                await unopened.placeholder(picture((9, 9)))
            await unopened.open()
            await unopened.open()
            await unopened.placeholder(picture((9, 9)))
            await unopened.close()
            await unopened.close()
        assert sum(not one.name.startswith("asyncio_") for one in threading.enumerate()) <= threads


def likeness(placeholder: str) -> Image.Image:
    """Return the picture in a placeholder, after checking its length."""
    assert len(placeholder) < MAX_PLACEHOLDER == 500
    head, _, text = placeholder.partition(",")
    assert head == "data:image/webp;base64"
    found = opened(base64.b64decode(text, validate=True))
    found.load()
    return found
