"""Conformance suite of the port ImageGenerator.

An adapter's suite subclasses `ImageGeneratorContract`, sets `adapter` and supplies the fixture `unopened`;
it may replace the fixtures `secrets`, `slow_request`, `refused`, `charges` and `usage_of_three`. `generator` is
`unopened`, opened and closed again.
"""

import asyncio
import hashlib
import json
import re
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pixyproxy.domain.errors import EditingUnsupportedError, GeneratorError, GeneratorRequestError
from pixyproxy.domain.generation import EditSource, GeneratedImage, GenerationRequest, PartialImage
from pixyproxy.domain.image import Picture
from pixyproxy.domain.usage import sum_usage
from pixyproxy.ports.image_generator import ImageGenerator
from tests.fixtures.generation import generated

PATIENCE_S = 20.0
"""Bound of tests that would otherwise hang."""

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
    """Tests of each sentence of the port."""

    adapter: ClassVar[type[ImageGenerator]]

    @pytest.fixture
    def unopened(self) -> ImageGenerator:
        """Return a working generator that is not open yet."""
        raise NotImplementedError("an adapter's suite supplies this fixture")

    @pytest.fixture
    async def generator(self, unopened: ImageGenerator) -> AsyncIterator[ImageGenerator]:
        await unopened.open()
        yield unopened
        await unopened.close()

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Return texts that no message may hold."""
        return ()

    @pytest.fixture
    def charges(self) -> Callable[[], int]:
        """Return a function that counts the charges so far."""
        return lambda: 0

    @pytest.fixture
    def usage_of_three(self) -> Mapping[str, Any] | None:
        """Return the usage of a call for three pictures, if known."""
        return None

    @pytest.fixture
    def refused(self) -> GenerationRequest:
        """Return a request that the generator refuses."""
        return GenerationRequest(prompt="refused", options={"size": "0x0"})

    @pytest.fixture
    def slow_request(self) -> GenerationRequest:
        """Return a request that takes long enough to be cancelled."""
        return GenerationRequest(prompt="a slow one", options={"size": "1536x1024"})

    def test_subclasses_its_port(self, unopened: ImageGenerator) -> None:
        assert ImageGenerator in self.adapter.__mro__
        assert type(unopened) is self.adapter

    def test_name_is_short_lower_case_and_known_before_opening(self, unopened: ImageGenerator) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", unopened.name)

    @pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: ascii(prompt[:20]))
    async def test_makes_one_picture_of_any_prompt(self, generator: ImageGenerator, prompt: str) -> None:
        check_images(await generated(generator, GenerationRequest(prompt=prompt)), 1)

    @pytest.mark.parametrize("number", [1, 2, 3, 10])
    async def test_makes_the_requested_number_of_different_pictures(
        self, generator: ImageGenerator, number: int
    ) -> None:
        images = await generated(generator, GenerationRequest(prompt="many ducks", n=number))
        check_images(images, number)
        assert len({image.data for image in images}) == number

    async def test_shares_of_the_usage_add_up(
        self, generator: ImageGenerator, usage_of_three: Mapping[str, Any] | None
    ) -> None:
        images = await generated(generator, GenerationRequest(prompt="three ducks", n=3))
        assert sum_usage(image.usage for image in images) == usage_of_three

    async def test_reports_the_options_that_were_used(self, generator: ImageGenerator) -> None:
        options = {"size": "512x512", "quality": "low", "background": "opaque", "output_format": "png"}
        for image in await generated(generator, GenerationRequest(prompt="reported", options=options, n=2)):
            assert image.reported is not None
            assert {**image.reported, **options} == dict(image.reported)

    @pytest.mark.parametrize("wanted", [None, 0, 1, 3])
    async def test_hands_out_the_requested_partial_images_before_it_returns(
        self, generator: ImageGenerator, wanted: int | None
    ) -> None:
        loop, returned = asyncio.get_running_loop(), False
        partials: list[PartialImage] = []

        def on_partial(partial: PartialImage) -> None:
            assert asyncio.get_running_loop() is loop  # raises in any other thread
            assert not returned
            partials.append(partial)

        options: dict[str, Any] = {"output_format": "png"} | ({} if wanted is None else {"partial_images": wanted})
        images = await generated(generator, GenerationRequest(prompt="early", options=options), on_partial)
        returned = True
        check_images(images, 1)
        assert [partial.index for partial in partials] == list(range(wanted or 0))
        for partial in partials:
            check_partial(partial)
            assert partial.data != images[0].data
            assert partial.reported["output_format"] == "png"
        await asyncio.sleep(0.05)

    @pytest.mark.parametrize("wanted", [None, 3])
    async def test_partial_images_do_not_change_the_pictures(
        self, generator: ImageGenerator, wanted: int | None
    ) -> None:
        options = {"size": "512x512"} | ({} if wanted is None else {"partial_images": wanted})
        request = GenerationRequest(prompt="the same", options=options, n=2)
        without = await generated(generator, request)
        streamed = await generated(generator, request, lambda partial: None)
        assert [image.data for image in streamed] == [image.data for image in without]
        assert [image.reported for image in streamed] == [image.reported for image in without]

    @pytest.mark.parametrize("wanted", [-1, 4, 10**9, "2", "auto", None, True, 1.5, [], {}], ids=str)
    async def test_an_odd_number_of_partial_images_ends_in_a_picture_or_a_generator_error(
        self, generator: ImageGenerator, wanted: Any, secrets: tuple[str, ...]
    ) -> None:
        request = GenerationRequest(prompt="odd views", options={"size": "64x64", "partial_images": wanted})
        for on_partial in (None, check_partial):
            try:
                check_images(await generated(generator, request, on_partial), 1)
            except GeneratorError as error:
                check_error(error, secrets)

    def test_says_whether_it_can_edit_before_opening(self, unopened: ImageGenerator) -> None:
        assert unopened.can_edit in (True, False)

    @pytest.mark.parametrize("number", [1, 2, 16])
    async def test_edits_or_raises_editing_unsupported(
        self, generator: ImageGenerator, charges: Callable[[], int], tmp_path: Path, number: int
    ) -> None:
        pictures = tuple(edit_source(tmp_path, b"picture %d " % index * 10_000) for index in range(number))
        mask = edit_source(tmp_path, b"mask" * 1000)
        request = GenerationRequest(prompt="with a hat", n=2, images=pictures, attachments={"mask": mask})
        before = charges()
        if generator.can_edit:
            check_images(await generated(generator, request), 2)
        else:
            with pytest.raises(EditingUnsupportedError):
                await generated(generator, request)
            assert charges() == before
        for each in (*pictures, mask):
            assert not each.file.closed
            each.file.close()

    async def test_files_of_an_edit_are_read_from_their_beginning(
        self, generator: ImageGenerator, tmp_path: Path
    ) -> None:
        if not generator.can_edit:
            pytest.skip("it makes no edits")
        picture = edit_source(tmp_path, b"a picture " * 50_000)
        request = GenerationRequest(prompt="again", images=(picture, picture))
        for position in (0, 17, picture.size_bytes):
            picture.file.seek(position)
            check_images(await generated(generator, request), 1)
        for images in await asyncio.gather(*(generated(generator, request, lambda partial: None) for _ in range(3))):
            check_images(images, 1)
        picture.file.close()

    async def test_a_refused_request_raises_generator_request_error(
        self, generator: ImageGenerator, refused: GenerationRequest, secrets: tuple[str, ...]
    ) -> None:
        for on_partial in (None, check_partial):
            with pytest.raises(GeneratorRequestError) as caught:
                await generated(generator, refused, on_partial)
            check_error(caught.value, secrets)

    async def test_lists_models_with_the_default_one(
        self, generator: ImageGenerator, charges: Callable[[], int]
    ) -> None:
        before = charges()
        models = await generator.models()
        names = [model.id for model in models]
        assert names == sorted(set(names))
        [default] = [model.id for model in models if model.is_default]
        [image] = await generated(generator, GenerationRequest(prompt="by default", options={"size": "64x64"}))
        assert image.model == default
        for model in models:
            assert model.id
            assert model.created_at is None or model.created_at.tzinfo is not None
            assert model.owned_by is None or model.owned_by
            assert model.shutdown_date is None or model.shutdown_date
        assert charges() <= before + 1

    async def test_takes_the_usual_options(self, generator: ImageGenerator) -> None:
        options = {"size": "1024x1024", "quality": "low", "background": "auto", "output_format": "png"}
        check_images(await generated(generator, GenerationRequest(prompt="with options", options=options)), 1)

    async def test_an_unknown_option_is_passed_on_or_ignored(self, generator: ImageGenerator) -> None:
        options = {"made_up_tomorrow": {"deep": ["value"]}}
        check_images(await generated(generator, GenerationRequest(prompt="new option", options=options)), 1)

    async def test_does_not_change_the_options(self, generator: ImageGenerator) -> None:
        options = {"size": "1024x1024", "other": ["kept"]}
        request = GenerationRequest(prompt="not changed", options=options)
        await generated(generator, request)
        assert request.options is options
        assert options == {"size": "1024x1024", "other": ["kept"]}

    async def test_calls_run_concurrently(self, generator: ImageGenerator) -> None:
        prompts = [f"picture number {number}" for number in range(12)]
        made = await asyncio.gather(*(generated(generator, GenerationRequest(prompt=prompt)) for prompt in prompts))
        for images in made:
            check_images(images, 1)
        assert len({image.data for (image,) in made}) == len(prompts)

    @pytest.mark.parametrize("options", ODD_OPTIONS, ids=str)
    async def test_odd_options_end_in_a_picture_or_a_generator_error(
        self, generator: ImageGenerator, options: Mapping[str, Any], secrets: tuple[str, ...]
    ) -> None:
        try:
            check_images(await generated(generator, GenerationRequest(prompt="odd options", options=options)), 1)
        except GeneratorError as error:
            check_error(error, secrets)
        check_images(await generated(generator, GenerationRequest(prompt="and all is well again")), 1)

    async def test_a_cancelled_call_ends_promptly(
        self, generator: ImageGenerator, slow_request: GenerationRequest
    ) -> None:
        for delay_s in (0.0, 0.001, 0.02, 0.1):
            task = asyncio.create_task(generated(generator, slow_request))
            await asyncio.sleep(delay_s)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
            assert done, "the cancelled call goes on"
            if not task.cancelled():
                check_images(task.result(), 1)
        check_images(await generated(generator, GenerationRequest(prompt="after the cancelled ones")), 1)

    async def test_a_cancelled_call_does_not_affect_others(
        self, generator: ImageGenerator, slow_request: GenerationRequest
    ) -> None:
        cancelled = asyncio.create_task(generated(generator, slow_request))
        neighbour = asyncio.create_task(generated(generator, GenerationRequest(prompt="a neighbour")))
        await asyncio.sleep(0.005)
        cancelled.cancel()
        async with asyncio.timeout(PATIENCE_S):
            check_images(await neighbour, 1)
            await asyncio.wait([cancelled])

    async def test_check_describes_the_configuration_in_one_line(
        self, generator: ImageGenerator, secrets: tuple[str, ...], charges: Callable[[], int]
    ) -> None:
        words = await generator.check()
        assert charges() == 0
        assert words.strip()
        assert words.isprintable()
        assert len(words) <= 300
        assert not any(secret in words for secret in secrets)

    async def test_repr_holds_no_secret(self, generator: ImageGenerator, secrets: tuple[str, ...]) -> None:
        assert not any(secret in repr(generator) + str(generator) for secret in secrets)

    async def test_closing_without_opening_does_nothing(self, unopened: ImageGenerator) -> None:
        await unopened.close()

    async def test_closing_twice_does_nothing(self, unopened: ImageGenerator) -> None:
        await unopened.open()
        await unopened.close()
        await unopened.close()

    async def test_opening_again_after_closing_works(self, unopened: ImageGenerator) -> None:
        for turn in range(3):
            await unopened.open()
            check_images(await generated(unopened, GenerationRequest(prompt=f"turn {turn}")), 1)
            await unopened.close()

    async def test_closing_releases_threads_and_files(self, unopened: ImageGenerator) -> None:
        async def one_life() -> None:
            await unopened.open()
            await asyncio.gather(
                *(generated(unopened, GenerationRequest(prompt=f"a life {number}")) for number in range(4))
            )
            await unopened.close()

        await one_life()  # what the first use loads for good (modules, fonts, the loop's own threads) is no leak
        threads, files = own_threads(), open_files()
        for _ in range(3):
            await one_life()
        async with asyncio.timeout(PATIENCE_S):
            while own_threads() > threads or open_files() > files:
                await asyncio.sleep(0.01)


def edit_source(folder: Path, data: bytes) -> EditSource:
    """Return an edit source with these bytes, its file positioned at the end."""
    file = (folder / uuid.uuid4().hex).open("w+b")
    file.write(data)
    return EditSource(file, Picture("image/png", 32, 32), len(data), hashlib.sha256(data).hexdigest())


def check_images(images: tuple[GeneratedImage, ...], number: int) -> None:
    assert type(images) is tuple
    assert len(images) == number
    for image in images:
        check_image(image)


def check_image(image: GeneratedImage) -> None:
    assert type(image.data) is bytes
    assert image.data
    assert image.model is None or isinstance(image.model, str)
    assert image.revised_prompt is None or isinstance(image.revised_prompt, str)
    for mapping in (image.usage, image.reported):
        if mapping is not None:
            assert json.loads(json.dumps(mapping, allow_nan=False)) == mapping


def check_partial(partial: PartialImage) -> None:
    assert type(partial.data) is bytes
    assert partial.data
    assert json.loads(json.dumps(partial.reported, allow_nan=False)) == partial.reported


def check_error(error: GeneratorError, secrets: tuple[str, ...]) -> None:
    assert error.message.strip()
    assert error.message.isprintable()
    assert not any(secret in error.message for secret in secrets)
    if error.document is not None:
        text = json.dumps(error.document, allow_nan=False)
        assert not any(secret in text for secret in secrets)


def own_threads() -> int:
    """Count the threads outside the event loop's executor."""
    return sum(1 for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))


def open_files() -> int:
    """Count the open descriptors of this process (Linux)."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0
