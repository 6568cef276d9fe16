"""SketchImageGenerator: the port's contract."""

import pytest

from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from tests.conformance.contracts.image_generator import ImageGeneratorContract


class TestSketchImageGenerator(ImageGeneratorContract):
    adapter = SketchImageGenerator

    @pytest.fixture
    def unopened(self) -> SketchImageGenerator:
        return SketchImageGenerator()
