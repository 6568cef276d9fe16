"""PillowPictureScaler: the port's contract, and bounds on memory and time."""

import asyncio
import multiprocessing
import resource
import struct
import threading
import zlib
from collections.abc import AsyncIterator

import pytest
from PIL import Image, ImageCms, ImageFile

from pixyproxy.adapters.pillow import decoding
from pixyproxy.adapters.pillow.decoding import decode
from pixyproxy.adapters.pillow.picture_scaler import PillowPictureScaler
from pixyproxy.domain.errors import CapacityExceededError, DataValidationError
from pixyproxy.domain.image import Picture
from tests.conformance.contracts.picture_inspector import encoded, png_chunk, png_of_size, webp_of_size
from tests.conformance.contracts.picture_scaler import FORMATS, PictureScalerContract, noise, opened, picture


class TestPillowPictureScaler(PictureScalerContract):
    adapter = PillowPictureScaler

    @pytest.fixture
    def unopened(self) -> PillowPictureScaler:
        return PillowPictureScaler()

    @pytest.fixture
    def small(self) -> PillowPictureScaler:
        return PillowPictureScaler(threads=1, max_waiting=1)


@pytest.fixture
async def scaler() -> AsyncIterator[PillowPictureScaler]:
    scaler = PillowPictureScaler()
    await scaler.open()
    yield scaler
    await scaler.close()


def png_bomb(width: int, height: int) -> bytes:
    """Return a complete PNG of one colour, a thousandth of its pixels long."""
    rows = zlib.compress(bytes(1 + 3 * width) * height, 9)
    return png_of_size(width, height).partition(b"IDAT")[0][:-4] + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def _growth(data: bytes, expected: type[BaseException] | None, result: "multiprocessing.Queue[int]") -> None:
    async def scale() -> int:
        scaler = PillowPictureScaler()
        await scaler.open()
        await scaler.scale(picture((99, 99)), 9, "image/webp")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if expected is None:
            await scaler.scale(data, 9, "image/webp")
        else:
            with pytest.raises(expected):
                await scaler.scale(data, 9, "image/webp")
        await scaler.close()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    result.put(asyncio.run(scale()))


def growth(data: bytes, expected: type[BaseException] | None) -> int:
    """Return by how many KiB the memory of a separate process grows when it scales a picture."""
    context = multiprocessing.get_context("spawn")
    result: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=_growth, args=(data, expected, result))
    process.start()
    process.join()
    assert process.exitcode == 0
    return result.get()


def test_a_decompression_bomb_needs_no_memory() -> None:
    for data in (png_bomb(16_000, 4_000), webp_of_size(10_000, 10_000)):
        assert len(data) < 250_000
        assert growth(data, DataValidationError) < 20_000


def test_the_largest_picture_takes_at_most_two_canvases() -> None:
    assert growth(png_bomb(10_000, 5_000), None) < 450_000


async def test_the_limit_is_exact(scaler: PillowPictureScaler) -> None:
    assert opened(await scaler.scale(png_bomb(10_000, 5_000), 100, "image/webp")).size == (100, 50)
    with pytest.raises(DataValidationError, match="not decoded"):
        await scaler.scale(png_bomb(10_000, 5_001), 100, "image/webp")


async def test_large_pictures_are_decoded_one_at_a_time(
    scaler: PillowPictureScaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 100)
    decoded, most, at_once = decoding._decode, 0, 0

    def counted(*args: object) -> Image.Image:
        nonlocal most, at_once
        at_once += 1
        most = max(most, at_once)
        result = decoded(*args)  # type: ignore[arg-type]
        at_once -= 1
        return result

    monkeypatch.setattr(decoding, "_decode", counted)
    await asyncio.gather(*(scaler.scale(noise((300, 300), "RGB"), 50, "image/webp") for _ in range(8)))
    assert most == 1


async def test_a_jpeg_of_too_many_scans_is_refused(scaler: PillowPictureScaler) -> None:
    data = encoded("progressive jpeg", (64, 64))
    scan = data[data.rindex(b"\xff\xda") : -2]
    for count in (50, decoding.MAX_SCANS + 1):
        many = data[:-2] + scan * count + data[-2:]
        if count > decoding.MAX_SCANS:
            with pytest.raises(DataValidationError, match="damaged"):
                await scaler.scale(many, 9, "image/webp")
        else:
            await scaler.scale(many, 9, "image/webp")


async def test_readers_that_disagree_about_the_size_are_refused(
    scaler: PillowPictureScaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Larger(decoding.READERS["image/png"]):  # type: ignore[misc]
        size = (9_000, 9_000)

    monkeypatch.setitem(decoding.READERS, "image/png", Larger)
    with pytest.raises(DataValidationError, match="damaged"):
        await scaler.scale(picture((9, 9)), 9, "image/webp")


async def test_decoding_stops_at_the_deadline() -> None:
    scaler = PillowPictureScaler(timeout_s=0)
    await scaler.open()
    for kind in ("png", "jpeg", "gif", "lossy webp"):
        with pytest.raises(DataValidationError, match="too long"):
            await scaler.scale(encoded(kind), 9, "image/webp")
    await scaler.close()


async def test_a_thread_that_cannot_be_stopped_keeps_its_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    class Endless(ImageFile.ImageFile):
        def _open(self) -> None:
            go_on.wait()
            raise SyntaxError

    scaler = PillowPictureScaler(threads=1, max_waiting=0, timeout_s=0.05)
    await scaler.open()
    with monkeypatch.context() as patched:
        patched.setitem(decoding.READERS, "image/webp", Endless)
        with pytest.raises(DataValidationError, match="too long"):
            await scaler.scale(encoded("lossy webp"), 9, "image/webp")
        with pytest.raises(CapacityExceededError):
            await scaler.scale(encoded("png"), 9, "image/webp")
    go_on.set()
    await scaler.close()


async def test_a_colour_profile_is_kept_unless_it_is_long_or_does_not_fit(scaler: PillowPictureScaler) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for media_type in FORMATS:
        found = opened(await scaler.scale(picture((90, 90), icc_profile=profile), 30, media_type))
        assert found.info["icc_profile"] == profile
        for data in (
            picture((90, 90), icc_profile=profile * 20),
            picture((90, 90), "CMYK", "JPEG", colour=(9, 9, 9, 9), icc_profile=profile),
            picture((90, 90), "L", colour=9, icc_profile=profile),
        ):
            assert "icc_profile" not in opened(await scaler.scale(data, 30, media_type)).info


async def test_damaged_metadata_is_ignored(scaler: PillowPictureScaler) -> None:
    data = picture((90, 60), kind="WEBP", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff nonsense")
    assert opened(await scaler.scale(data, 30, "image/webp")).size == (30, 20)


def keyed_png(depth: int, colour: int, rows: list[list[int]], key: bytes) -> bytes:
    """Return a PNG of samples of `depth` bits with a transparent colour, which Pillow itself cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packed = b""
    for row in rows:
        number = 0
        for sample in row:
            number = number << depth | sample
        length = -(-len(row) * depth // 8)
        packed += b"\0" + (number << (8 * length - len(row) * depth)).to_bytes(length, "big")
    width = len(rows[0]) // (3 if colour == 2 else 1)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"tRNS", key), chunk(b"IDAT", zlib.compress(packed)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


WHITE = (255, 255, 255)
KEYED = {
    "1 bit": (1, 0, [0, 1], b"\0\1", [(0, 0, 0, 255), (*WHITE, 0)]),
    "2 bits": (2, 0, [1, 3], b"\0\3", [(85, 85, 85, 255), (*WHITE, 0)]),
    "4 bits": (4, 0, [8, 15], b"\0\x08", [(136, 136, 136, 0), (*WHITE, 255)]),
    "8 bits": (8, 0, [128, 255], b"\0\x80", [(128, 128, 128, 0), (*WHITE, 255)]),
    "16 bits": (
        16,
        0,
        [0x8000, 0x8001, 0x40FF],
        b"\x80\0",
        [(128,) * 3 + (0,), (128,) * 3 + (255,), (64,) * 3 + (255,)],
    ),
    "colours of 16 bits": (
        *(16, 2, [0x8000, 0x4000, 0x2000, 0x1000, 0x1000, 0x1000], b"\x80\0\x40\0\x20\0"),
        [(128, 64, 32, 0), (16, 16, 16, 255)],
    ),
}


@pytest.mark.parametrize(("depth", "colour", "row", "key", "expected"), KEYED.values(), ids=list(KEYED))
def test_a_transparent_colour_at_every_depth(
    depth: int, colour: int, row: list[int], key: bytes, expected: list[tuple[int, ...]]
) -> None:
    data = keyed_png(depth, colour, [row], key)
    picture = Picture("image/png", len(expected), 1)
    image = decode(data, picture, 10, float("inf"))
    assert image.mode == "RGBA"
    assert [image.getpixel((x, 0)) for x in range(len(expected))] == expected
