"""The generator that draws by itself: offline, free, and the same picture for the same prompt."""

import asyncio
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random

from PIL import Image

from pixyproxy.adapters.sketch.canvas import Canvas
from pixyproxy.adapters.sketch.caption import draw_caption
from pixyproxy.adapters.sketch.options import SketchOptions, parse_options
from pixyproxy.adapters.sketch.palette import choose_palette
from pixyproxy.adapters.sketch.scenes import draw_scene
from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.image import GeneratedImage, GenerationRequest
from pixyproxy.ports.image_generator import ImageGenerator

MODEL = "sketch-1"
"""What is recorded as the model, whichever was asked for: how these sketches look. Another look, another number."""

_THREADS = 2
_SMOOTH_UP_TO = 2048 * 2048
_SAVE_OPTIONS = {
    "PNG": {"compress_level": 2},
    "JPEG": {"subsampling": 0},
    "WEBP": {"method": 2},
}


class SketchImageGenerator(ImageGenerator):
    """Draws landscapes and patterns from the prompt's hash, with the prompt written below.

    Options: `size` "WxH" (16 to 4096 a side), `output_format` png, jpeg or webp, `background` "transparent",
    `quality` low, medium or high (of the encoder); other options and any model name are accepted and change nothing.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    @property
    def name(self) -> str:
        return "sketch"

    async def open(self) -> None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_THREADS, "sketch")

    async def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(partial(executor.shutdown, cancel_futures=True))

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        options = parse_options(request.options)
        if self._executor is None:
            raise GeneratorUnavailableError("The sketch generator is not open.")
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._executor, draw_sketch, request.prompt, options)
        return GeneratedImage(data=data, model=MODEL)

    async def check(self) -> str:
        return "sketch: draws offline with Pillow, free of charge"


def draw_sketch(prompt: str, options: SketchOptions) -> bytes:
    """The encoded picture for a prompt."""
    random = Random(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest())
    palette = choose_palette(random)
    # Drawn at twice the size and reduced, edges become smooth; a huge picture is drawn as it is to save memory.
    scale = 2 if options.width * options.height <= _SMOOTH_UP_TO else 1
    canvas = Canvas(options.width * scale, options.height * scale, palette, random, transparent=options.transparent)
    draw_scene(canvas)
    image: Image.Image = canvas.image.reduce(scale) if scale > 1 else canvas.image
    draw_caption(image, prompt, palette)
    buffer = io.BytesIO()
    image.save(buffer, options.format, quality=options.quality, **_SAVE_OPTIONS[options.format])
    return buffer.getvalue()
