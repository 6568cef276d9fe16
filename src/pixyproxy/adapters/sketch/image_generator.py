"""The generator that draws offline and free of charge, the same picture for the same prompt."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import TypeVar, TypeVarTuple

from PIL import Image

from pixyproxy.adapters.sketch.canvas import Canvas
from pixyproxy.adapters.sketch.caption import draw_caption
from pixyproxy.adapters.sketch.options import SketchOptions, parse_options
from pixyproxy.adapters.sketch.palette import choose_palette
from pixyproxy.adapters.sketch.scenes import draw_scene
from pixyproxy.domain.errors import EditingUnsupportedError, GeneratorUnavailableError
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.ports.image_generator import ImageGenerator

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MODEL = "sketch-1"
"""Recorded as the model of every sketch. A change of their look needs a new number."""

_THREADS = 2
_COARSEST = 16
"""Squares along the shorter side of the first partial image; each further one has twice as many."""
_SMOOTH_UP_TO = 2048 * 2048
_SAVE_OPTIONS = {"PNG": {"compress_level": 2}, "JPEG": {"subsampling": 0}, "WEBP": {"method": 2}}


class SketchImageGenerator(ImageGenerator):
    """Generator of landscapes and patterns from the prompt's hash, with the prompt as a caption.

    Options: `size` "WxH" (16 to 4096 a side), `output_format` png, jpeg or webp, `background` "transparent",
    `quality` low, medium or high (of the encoder), `partial_images` 1 to 3; other options and any model name are
    accepted and ignored.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    @property
    def name(self) -> str:
        return "sketch"

    @property
    def can_edit(self) -> bool:
        return False

    @property
    def has_free_early_views(self) -> bool:
        return True

    async def open(self) -> None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_THREADS, "sketch")

    async def close(self) -> None:
        """Cancel waiting pictures and finish those being drawn."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(partial(executor.shutdown, cancel_futures=True))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        if request.images or request.attachments:
            raise EditingUnsupportedError("The sketch generator cannot edit pictures.")
        options = parse_options(request.options)
        first = await self._run(draw, request.prompt, options)
        for index in range(options.partials if request.early_views else 0):
            yield PartialImage(await self._run(draw_partial, first, options, index), index, options.reported)
        yield GeneratedImage(await self._run(encode, first, options), MODEL, reported=options.reported)
        for index in range(1, request.n):
            data = await self._run(draw_sketch, request.prompt, options, index)
            yield GeneratedImage(data, MODEL, reported=options.reported)

    async def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        if self._executor is None:
            raise GeneratorUnavailableError("The sketch generator is not open.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise GeneratorUnavailableError("The sketch generator was closed.") from None

    async def models(self) -> tuple[GeneratorModel, ...]:
        return (GeneratorModel(MODEL, owned_by="pixyproxy", is_default=True),)

    async def check(self) -> str:
        return "sketch: draws offline with Pillow, free of charge"


def draw_sketch(prompt: str, options: SketchOptions, index: int = 0) -> bytes:
    """Draw and encode the picture with an index among those for a prompt."""
    return encode(draw(prompt, options, index), options)


def draw(prompt: str, options: SketchOptions, index: int = 0) -> Image.Image:
    """Draw the picture with an index among those for a prompt."""
    seed = prompt.encode("utf-8", "surrogatepass") + (b"\0%d" % index if index else b"")
    random = Random(hashlib.sha256(seed).digest())
    palette = choose_palette(random)
    # Drawing at twice the size smooths the edges; huge pictures are drawn as they are to save memory.
    scale = 2 if options.width * options.height <= _SMOOTH_UP_TO else 1
    canvas = Canvas(options.width * scale, options.height * scale, palette, random, transparent=options.transparent)
    draw_scene(canvas)
    image: Image.Image = canvas.image.reduce(scale) if scale > 1 else canvas.image
    draw_caption(image, prompt, palette)
    return image


def draw_partial(image: Image.Image, options: SketchOptions, index: int) -> bytes:
    """Return a partial image: of the same size, but of coarse squares, which become finer with the index."""
    side = max(1, min(image.size) // (_COARSEST << index))
    return encode(image.reduce(side).resize(image.size, Image.Resampling.NEAREST), options)


def encode(image: Image.Image, options: SketchOptions) -> bytes:
    """Encode a picture in the requested format and quality."""
    buffer = io.BytesIO()
    image.save(buffer, options.format, quality=options.encoder_quality, **_SAVE_OPTIONS[options.format])
    return buffer.getvalue()
