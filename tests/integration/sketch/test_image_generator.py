"""Sketches drawn in several processes."""

import hashlib
import subprocess
import sys

from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.domain.generation import GenerationRequest
from tests.fixtures.generation import generated


async def test_processes_with_other_hash_seeds_draw_the_same() -> None:
    script = (
        "import hashlib; from pixyproxy.adapters.sketch.image_generator import draw_sketch\n"
        "from pixyproxy.adapters.sketch.options import parse_options\n"
        "print(hashlib.sha256(draw_sketch('a duck ✓', parse_options({'size': '200x200'}))).hexdigest())"
    )
    generator = SketchImageGenerator()
    await generator.open()
    [image] = await generated(generator, GenerationRequest("a duck ✓", options={"size": "200x200"}))
    await generator.close()
    here = hashlib.sha256(image.data).hexdigest()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here
