"""The sketch generator: deterministic pictures in the requested size and format."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from pixyproxy.adapters.sketch import image_generator
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.adapters.sketch.image_generator import draw as draw_picture
from pixyproxy.domain.errors import EditingUnsupportedError, GeneratorRequestError, GeneratorUnavailableError
from pixyproxy.domain.generation import EditSource, GenerationRequest, PartialImage
from pixyproxy.domain.image import Picture
from tests.fixtures.generation import generated


@pytest.fixture
async def generator() -> AsyncIterator[SketchImageGenerator]:
    generator = SketchImageGenerator()
    await generator.open()
    yield generator
    await generator.close()


async def draw(generator: SketchImageGenerator, prompt: str, **options: Any) -> bytes:
    [image] = await generated(generator, GenerationRequest(prompt, options=options))
    return image.data


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


async def test_the_same_prompt_and_options_give_the_same_bytes(generator: SketchImageGenerator) -> None:
    for options in ({}, {"size": "300x200", "output_format": "webp"}, {"output_format": "jpeg", "size": "64x64"}):
        first = await draw(generator, "a duck", **options)
        assert await draw(generator, "a duck", **options) == first


async def test_similar_prompts_give_different_pictures(generator: SketchImageGenerator) -> None:
    prompts = ["a duck", "a duck ", "A duck", "a duck!", "\ud800", "\ud801", "x" * 32_000, "x" * 31_999]
    assert len({await draw(generator, prompt, size="256x256") for prompt in prompts}) == len(prompts)


@pytest.mark.parametrize(
    ("options", "size", "kind", "mode"),
    [
        ({}, (1024, 1024), "PNG", "RGB"),
        (
            {"size": "auto", "output_format": "auto", "background": "auto", "quality": "auto"},
            (1024, 1024),
            "PNG",
            "RGB",
        ),
        ({"size": None, "output_format": None}, (1024, 1024), "PNG", "RGB"),
        ({"size": "1536x1024"}, (1536, 1024), "PNG", "RGB"),
        ({"size": " 320X200 "}, (320, 200), "PNG", "RGB"),
        ({"size": "16x16"}, (16, 16), "PNG", "RGB"),
        ({"size": "4096x16"}, (4096, 16), "PNG", "RGB"),
        ({"size": "16x4096"}, (16, 4096), "PNG", "RGB"),
        ({"size": "101x103", "output_format": "jpeg"}, (101, 103), "JPEG", "RGB"),
        ({"size": "64x64", "output_format": "JPG", "background": "opaque"}, (64, 64), "JPEG", "RGB"),
        ({"size": "64x64", "output_format": "webp"}, (64, 64), "WEBP", "RGB"),
        ({"size": "64x64", "background": "transparent"}, (64, 64), "PNG", "RGBA"),
        ({"size": "64x64", "background": "transparent", "output_format": "webp"}, (64, 64), "WEBP", "RGBA"),
    ],
    ids=str,
)
async def test_size_and_format_are_as_requested(
    generator: SketchImageGenerator, options: Mapping[str, Any], size: tuple[int, int], kind: str, mode: str
) -> None:
    image = picture(await draw(generator, "a duck", **options))
    assert (image.size, image.format, image.mode) == (size, kind, mode)


async def test_the_largest_size(generator: SketchImageGenerator) -> None:
    assert picture(await draw(generator, "a duck", size="4096x4096")).size == (4096, 4096)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "large"}, "size must be WIDTHxHEIGHT"),
        ({"size": "1024"}, "size must be"),
        ({"size": ""}, "size must be"),
        ({"size": "15x1024"}, "16 to 4096"),
        ({"size": "1024x4097"}, "16 to 4096"),
        ({"size": "-64x64"}, "size must be"),
        ({"size": "64.0x64"}, "size must be"),
        ({"size": "６４x６４"}, "size must be"),
        ({"size": "9" * 10_000 + "x1"}, "size must be"),
        ({"size": 1024}, "size must be"),
        ({"size": ["64x64"]}, "size must be"),
        ({"output_format": "gif"}, "png, jpeg or webp"),
        ({"output_format": ""}, "png, jpeg or webp"),
        ({"output_format": 7}, "png, jpeg or webp"),
        ({"output_format": "jpeg", "background": "transparent"}, "png or webp"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_options_are_refused_with_the_valid_values(
    generator: SketchImageGenerator, options: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(GeneratorRequestError, match=words):
        await draw(generator, "a duck", **options)


async def test_other_options_and_models_change_nothing(generator: SketchImageGenerator) -> None:
    [plain] = await generated(generator, GenerationRequest("a duck", options={"size": "64x64"}))
    [odd] = await generated(
        generator,
        GenerationRequest("a duck", model="anything-9", options={"size": "64x64", "moderation": "low", "n": 1}),
    )
    assert odd == plain
    assert (plain.model, plain.revised_prompt, plain.usage) == ("sketch-1", None, None)


async def test_quality_is_that_of_the_encoder(generator: SketchImageGenerator) -> None:
    for kind in ("jpeg", "webp"):
        sizes = [len(await draw(generator, "a duck", output_format=kind, quality=q)) for q in ("low", "medium", "high")]
        assert sizes == sorted(set(sizes))


async def test_a_transparent_background_shows_through_and_the_rest_does_not(generator: SketchImageGenerator) -> None:
    for prompt in ("one", "two", "three", "four", "five", "six", "seven", "eight"):
        alpha = picture(await draw(generator, prompt, size="256x256", background="transparent")).getchannel("A")
        low, high = alpha.getextrema()
        assert (low, high) == (0, 255)
        assert 0.02 < ImageStat.Stat(alpha).mean[0] / 255 < 0.98


async def test_an_opaque_picture_is_filled_and_has_several_colours(generator: SketchImageGenerator) -> None:
    for number in range(12):
        image = picture(await draw(generator, f"picture {number}", size="256x256"))
        assert len(image.getcolors(65_536) or ()) > 20
        assert sum(ImageStat.Stat(image).stddev) > 20


PROMPTS = (
    "nul \x00 and \x1b[31m escape\r\nnew line\ttab",
    "word " * 6_400,
    "x" * 32_000,
    "字" * 32_000,
    "🦆" * 5_000,
    "e" + "\u0301" * 20_000,
    "\ud800 half a pair \udfff",
    "\u202e right to left \u202c",
    "شعر عربي طويل " * 100,
    "\ufdfa" * 200,
    "\U0010ffff\ue000\ufffe",
    " ",
    "\u200b",
    "\x00",
    "",
)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: ascii(prompt[:16]))
@pytest.mark.parametrize("size", ["16x16", "256x256", "1024x64"])
async def test_any_text_is_drawn(generator: SketchImageGenerator, prompt: str, size: str) -> None:
    assert picture(await draw(generator, prompt, size=size)).size == tuple(map(int, size.split("x")))


async def test_the_prompt_is_written_into_the_picture(
    generator: SketchImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_caption = picture(await draw(generator, "a rubber duck", size="512x512"))
    monkeypatch.setattr("pixyproxy.adapters.sketch.image_generator.draw_caption", lambda *args: None)
    without = picture(await draw(generator, "a rubber duck", size="512x512"))
    left, top, right, bottom = ImageChops.difference(with_caption, without).getbbox() or (0, 0, 0, 0)
    assert right - left > 400
    assert top > 350
    assert bottom <= 512


async def test_a_closed_generator_is_unavailable() -> None:
    generator = SketchImageGenerator()
    with pytest.raises(GeneratorUnavailableError):
        await draw(generator, "a duck")


async def test_the_first_of_several_pictures_is_that_of_a_single_one(generator: SketchImageGenerator) -> None:
    alone = await draw(generator, "a duck", size="128x96")
    images = await generated(generator, GenerationRequest("a duck", n=4, options={"size": "128x96"}))
    assert images[0].data == alone
    assert len({image.data for image in images}) == 4
    assert {picture(image.data).size for image in images} == {(128, 96)}
    again = await generated(generator, GenerationRequest("a duck", n=3, options={"size": "128x96"}))
    assert again == images[:3]


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({}, ("1024x1024", "png", "opaque", "auto")),
        ({"size": " 64X48 ", "quality": "HD", "output_format": "JPG"}, ("64x48", "jpeg", "opaque", "high")),
        (
            {"size": "64x64", "background": "transparent", "quality": "standard"},
            ("64x64", "png", "transparent", "medium"),
        ),
        (
            {"size": "64x64", "background": "auto", "quality": "low", "output_format": "webp"},
            ("64x64", "webp", "opaque", "low"),
        ),
        ({"size": "64x64", "background": 5, "quality": "splendid"}, ("64x64", "png", "opaque", "auto")),
    ],
    ids=str,
)
async def test_reports_the_options_used(
    generator: SketchImageGenerator, options: Mapping[str, Any], reported: tuple[str, ...]
) -> None:
    [image] = await generated(generator, GenerationRequest("a duck", options=options))
    assert image.reported == dict(zip(("size", "output_format", "background", "quality"), reported, strict=True))
    [again] = await generated(generator, GenerationRequest("a duck", options=image.reported))
    assert again == image


@pytest.mark.parametrize(
    "options", [{"size": "300x200"}, {"size": "16x16", "output_format": "jpeg"}, {"size": "70x901"}]
)
async def test_partial_images_become_finer(generator: SketchImageGenerator, options: Mapping[str, Any]) -> None:
    partials: list[PartialImage] = []
    request = GenerationRequest("a duck", n=2, options={**options, "partial_images": 3})
    [image, _] = await generated(generator, request, partials.append)
    assert [partial.index for partial in partials] == [0, 1, 2]
    final = picture(image.data)
    distances = []
    for partial in partials:
        view = picture(partial.data)
        assert (view.size, view.format, view.mode) == (final.size, final.format, final.mode)
        assert partial.reported == image.reported
        distances.append(sum(ImageStat.Stat(ImageChops.difference(view, final)).mean))
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == (1 if final.size == (16, 16) else 3)  # 16 squares are all of the smallest picture


async def test_invalid_options_fail_before_any_partial_image(generator: SketchImageGenerator) -> None:
    partials: list[PartialImage] = []
    with pytest.raises(GeneratorRequestError):
        await generated(
            generator, GenerationRequest("a duck", options={"size": "huge", "partial_images": 3}), partials.append
        )
    assert partials == []


async def test_a_mask_alone_is_refused(generator: SketchImageGenerator) -> None:
    mask = EditSource(io.BytesIO(b"mask"), Picture("image/png", 1, 1), 4, "0" * 64)
    with pytest.raises(EditingUnsupportedError, match="cannot edit"):
        await generated(generator, GenerationRequest("a duck", attachments={"mask": mask}))


async def test_closing_ends_running_and_waiting_pictures(
    generator: SketchImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(*args: Any) -> Image.Image:
        begun.release()
        go_on.wait(20)
        return draw_picture(*args)

    monkeypatch.setattr(image_generator, "draw", slow)
    calls = [asyncio.create_task(draw(generator, "a duck", size="64x64")) for _ in range(4)]
    cancelled = asyncio.create_task(draw(generator, "a duck", size="64x64"))
    for _ in range(2):  # as many as there are threads
        await asyncio.to_thread(begun.acquire, timeout=20)
    closing = asyncio.create_task(generator.close())
    cancelled.cancel()
    await asyncio.wait([cancelled])
    go_on.set()
    await closing
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, GeneratorUnavailableError)
    assert cancelled.cancelled()


async def test_the_only_model_is_the_recorded_one(generator: SketchImageGenerator) -> None:
    [model] = await generator.models()
    assert (model.id, model.is_default, model.shutdown_date) == ("sketch-1", True, None)
