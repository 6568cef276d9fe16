"""Pillow keeps the picture inspector's contract."""

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


async def test_the_caps_are_exact() -> None:
    inspector = PillowPictureInspector()
    assert await inspector.inspect(png_of_size(16_384, 6_103)) == Picture("image/png", 16_384, 6_103)
    assert await inspector.inspect(png_of_size(10_000, 10_000)) == Picture("image/png", 10_000, 10_000)
    for size in ((16_385, 1), (1, 16_385), (10_000, 10_001)):
        with pytest.raises(DataValidationError, match="at most"):
            await inspector.inspect(png_of_size(*size))


async def test_a_large_picture_needs_no_memory_and_the_limit_of_pillow_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    inspector = PillowPictureInspector()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in (png_of_size(10_000, 10_000), webp_of_size(10_000, 10_000)):
        picture = await inspector.inspect(data)
        assert (picture.width, picture.height) == (10_000, 10_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; one such canvas takes 400,000


async def test_avif_is_unknown_where_pillow_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("avif")
    monkeypatch.setattr(picture_inspector.AvifImagePlugin, "SUPPORTED", False)
    with pytest.raises(DataValidationError, match="known format"):
        await PillowPictureInspector().inspect(data)
