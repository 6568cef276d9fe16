"""PillowPictureInspector: the port's contract, limits and SVG."""

import resource

import pytest
from PIL import Image

from pixyproxy.adapters.pillow import picture_inspector
from pixyproxy.adapters.pillow.picture_inspector import PillowPictureInspector
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Picture
from tests.conformance.contracts.picture_inspector import (
    PictureInspectorContract,
    encoded,
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


async def test_avif_is_unknown_without_support_in_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("avif")
    monkeypatch.setattr(picture_inspector.AvifImagePlugin, "SUPPORTED", False)
    with pytest.raises(DataValidationError, match="known format"):
        await PillowPictureInspector().inspect(data)


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
