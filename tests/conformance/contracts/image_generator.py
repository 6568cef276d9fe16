"""What every ImageGenerator keeps to, whatever draws its pictures.

An adapter's suite subclasses `ImageGeneratorContract`, sets `adapter` and supplies the fixture `unopened`;
it may replace the fixtures `secrets` and `slow_request`. `generator` is `unopened`, opened and closed again.
"""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pixyproxy.domain.errors import GeneratorError
from pixyproxy.domain.image import GeneratedImage, GenerationRequest
from pixyproxy.ports.image_generator import ImageGenerator

PATIENCE_S = 20.0
"""Bounds a test that would otherwise hang; nothing is measured against it."""

PROMPTS = (
    "a",
    "a rubber duck on a sink",
    "  spaces  kept\nand a second line\ttabbed ",
    "🦆🏽 eine Ente, утка, アヒル, بطة, 鸭子 👩‍👩‍👧",
    "nul \x00 and escape \x1b[31m in the middle",
    "word " * 6_400,
)

ODD_OPTIONS: tuple[Mapping[str, Any], ...] = (
    {"no_such_option": "whatever", "nested": {"list": [1, 2.5, None, True]}},
    {"size": "no-such-size", "quality": "no-such-quality"},
    {"output_format": "no-such-format", "background": "no-such-background"},
    {"size": None, "quality": None, "background": None, "output_format": None},
    {"size": 7, "quality": [], "background": {}, "output_format": 0.5},
    {"size": "0x0"},
    {"size": "-1x-1"},
    {"size": "9999999999x9999999999"},
    {"prompt": "another prompt", "model": "another-model", "n": 3},
)


class ImageGeneratorContract:
    """The sentences of the port, one test each."""

    adapter: ClassVar[type[ImageGenerator]]

    @pytest.fixture
    def unopened(self) -> ImageGenerator:
        """A working generator that was not opened yet."""
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    async def generator(self, unopened: ImageGenerator) -> AsyncIterator[ImageGenerator]:
        await unopened.open()
        yield unopened
        await unopened.close()

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may hold."""
        return ()

    @pytest.fixture
    def slow_request(self) -> GenerationRequest:
        """A request that takes long enough to be cancelled on the way."""
        return GenerationRequest(prompt="a slow one", options={"size": "1536x1024"})

    def test_subclasses_its_port(self, unopened: ImageGenerator) -> None:
        assert ImageGenerator in self.adapter.__mro__
        assert type(unopened) is self.adapter

    def test_name_is_short_lower_case_and_known_before_opening(self, unopened: ImageGenerator) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", unopened.name)

    @pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: ascii(prompt[:20]))
    async def test_makes_one_picture_of_any_prompt(self, generator: ImageGenerator, prompt: str) -> None:
        check_image(await generator.generate(GenerationRequest(prompt=prompt)))

    async def test_takes_the_usual_options(self, generator: ImageGenerator) -> None:
        options = {"size": "1024x1024", "quality": "low", "background": "auto", "output_format": "png"}
        check_image(await generator.generate(GenerationRequest(prompt="with options", options=options)))

    async def test_an_unknown_option_is_passed_on_or_ignored(self, generator: ImageGenerator) -> None:
        options = {"made_up_tomorrow": {"deep": ["value"]}}
        check_image(await generator.generate(GenerationRequest(prompt="new option", options=options)))

    async def test_leaves_the_options_as_they_were(self, generator: ImageGenerator) -> None:
        options = {"size": "1024x1024", "other": ["kept"]}
        request = GenerationRequest(prompt="not changed", options=options)
        await generator.generate(request)
        assert request.options is options
        assert options == {"size": "1024x1024", "other": ["kept"]}

    async def test_several_calls_run_side_by_side(self, generator: ImageGenerator) -> None:
        prompts = [f"picture number {number}" for number in range(12)]
        images = await asyncio.gather(*(generator.generate(GenerationRequest(prompt=prompt)) for prompt in prompts))
        for image in images:
            check_image(image)
        assert len({image.data for image in images}) == len(prompts)

    @pytest.mark.parametrize("options", ODD_OPTIONS, ids=str)
    async def test_odd_options_end_in_a_picture_or_a_generator_error(
        self, generator: ImageGenerator, options: Mapping[str, Any], secrets: tuple[str, ...]
    ) -> None:
        try:
            check_image(await generator.generate(GenerationRequest(prompt="odd options", options=options)))
        except GeneratorError as error:
            check_message(error, secrets)
        check_image(await generator.generate(GenerationRequest(prompt="and all is well again")))

    async def test_a_cancelled_call_ends_promptly_and_harms_nothing(
        self, generator: ImageGenerator, slow_request: GenerationRequest
    ) -> None:
        for delay_s in (0.0, 0.001, 0.02, 0.1):
            task = asyncio.create_task(generator.generate(slow_request))
            await asyncio.sleep(delay_s)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
            assert done, "the cancelled call goes on"
            if not task.cancelled():
                check_image(task.result())
        check_image(await generator.generate(GenerationRequest(prompt="after the cancelled ones")))

    async def test_a_cancelled_call_leaves_its_neighbours_alone(
        self, generator: ImageGenerator, slow_request: GenerationRequest
    ) -> None:
        cancelled = asyncio.create_task(generator.generate(slow_request))
        neighbour = asyncio.create_task(generator.generate(GenerationRequest(prompt="a neighbour")))
        await asyncio.sleep(0.005)
        cancelled.cancel()
        async with asyncio.timeout(PATIENCE_S):
            check_image(await neighbour)
            await asyncio.wait([cancelled])

    async def test_check_says_in_a_line_what_is_configured(
        self, generator: ImageGenerator, secrets: tuple[str, ...]
    ) -> None:
        words = await generator.check()
        assert words.strip()
        assert words.isprintable()
        assert len(words) <= 300
        assert not any(secret in words for secret in secrets)

    async def test_repr_holds_no_secret(self, generator: ImageGenerator, secrets: tuple[str, ...]) -> None:
        assert not any(secret in repr(generator) + str(generator) for secret in secrets)

    async def test_closing_what_was_never_opened_does_nothing(self, unopened: ImageGenerator) -> None:
        await unopened.close()

    async def test_closing_twice_does_nothing(self, unopened: ImageGenerator) -> None:
        await unopened.open()
        await unopened.close()
        await unopened.close()

    async def test_opening_again_after_closing_works(self, unopened: ImageGenerator) -> None:
        for turn in range(3):
            await unopened.open()
            check_image(await unopened.generate(GenerationRequest(prompt=f"turn {turn}")))
            await unopened.close()

    async def test_closing_gives_back_threads_and_files(self, unopened: ImageGenerator) -> None:
        async def one_life() -> None:
            await unopened.open()
            await asyncio.gather(
                *(unopened.generate(GenerationRequest(prompt=f"a life {number}")) for number in range(4))
            )
            await unopened.close()

        await one_life()  # what the first use loads for good (modules, fonts, the loop's own threads) is no leak
        threads, files = own_threads(), open_files()
        for _ in range(3):
            await one_life()
        async with asyncio.timeout(PATIENCE_S):
            while own_threads() > threads or open_files() > files:
                await asyncio.sleep(0.01)


def check_image(image: GeneratedImage) -> None:
    assert type(image.data) is bytes
    assert image.data
    assert image.model is None or isinstance(image.model, str)
    assert image.revised_prompt is None or isinstance(image.revised_prompt, str)
    if image.usage is not None:
        assert json.loads(json.dumps(image.usage, allow_nan=False)) == image.usage


def check_message(error: GeneratorError, secrets: tuple[str, ...]) -> None:
    assert error.message.strip()
    assert error.message.isprintable()
    assert not any(secret in error.message for secret in secrets)


def own_threads() -> int:
    """How many threads there are besides those of the event loop's executor, which grows as it likes."""
    return sum(1 for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))


def open_files() -> int:
    """How many descriptors this process holds, as Linux counts them."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0
