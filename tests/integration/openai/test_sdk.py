"""The SDK is imported with the first edit, once, beside the event loop; who makes no edit does without."""

import asyncio
import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from pixyproxy.adapters.openai import sdk
from pixyproxy.adapters.openai.client import Upstream
from pixyproxy.adapters.openai.content_coding import Answer
from pixyproxy.adapters.openai.error_responses import SdkFailure
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.request import Call
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorError,
    GeneratorResponseError,
    GeneratorUnavailableError,
)
from pixyproxy.domain.generation import EditSource, GenerationRequest
from pixyproxy.domain.image import Picture
from tests.fixtures.openai.upstream import FakeUpstream
from tests.fixtures.service import Service

KEY = "sk-test-0123456789abcdef"
DATA = b"a picture"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


def edit(prompt: str = "a hat") -> GenerationRequest:
    image = EditSource(io.BytesIO(DATA), Picture("image/png", 32, 32), len(DATA), "0" * 64)
    return GenerationRequest(prompt, images=(image,))


SCRIPT = """
import asyncio, io, sys
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.generation import EditSource, GenerationRequest
from pixyproxy.domain.image import Picture

def loaded():
    return [name for name in ("openai", "httpx2", "httpcore2", "anyio") if name in sys.modules]

async def main(base_url):
    generator = OpenAIImageGenerator("sk-test", base_url, "gpt-image-2")
    await generator.open()
    await generator.generate(GenerationRequest("[[ok]] a duck"))
    await generator.generate(GenerationRequest("[[stream]] a duck"), lambda partial: None)
    await generator.generate(GenerationRequest("[[url]] a duck"))
    await generator.check()
    await generator.models()
    print(loaded())
    image = EditSource(io.BytesIO(b"x"), Picture("image/png", 1, 1), 1, "")
    await generator.generate(GenerationRequest("a hat", images=(image,)))
    print("openai" in loaded())
    await generator.close()

asyncio.run(main(sys.argv[1]))
"""


def test_what_is_no_edit_does_without_the_sdk(upstream: FakeUpstream) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, upstream.base_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"], done.stderr
    assert len(upstream.edits) == 1


def test_a_service_that_makes_no_edit_does_without_the_sdk(upstream: FakeUpstream, tmp_path: Path) -> None:
    values = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": upstream.base_url}
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "def tell():\n"
        "    with open(os.environ['TELL_TO'], 'a') as file:\n"
        "        file.write(' '.join(sorted(sys.modules)) + '\\n')\n"
        "atexit.register(tell)\n"
    )
    told = tmp_path / "told"
    with Service(tmp_path / "service", **values, PYTHONPATH=str(tmp_path), TELL_TO=str(told)) as service:
        service.add_user("alice", "secret")
        with service.client(auth=("alice", "secret")) as client:
            assert client.post("/image", json={"prompt": "a duck"}).status_code == 200
    [modules] = told.read_text().splitlines()
    assert "aiohttp" in modules.split()
    assert not {"openai", "httpx2", "pixyproxy.adapters.openai.sdk"} & set(modules.split())


async def test_edits_that_come_together_share_one_sdk(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    closed: list[sdk.Sdk] = []

    class SlowSdk(sdk.Sdk):
        def __init__(self, *args: str) -> None:
            threads.append(threading.current_thread())
            time.sleep(0.2)
            super().__init__(*args)  # type: ignore[arg-type]

        async def close(self) -> None:
            closed.append(self)
            await super().close()

    monkeypatch.setattr(sdk, "Sdk", SlowSdk)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    first, *others = [asyncio.create_task(generator.generate(edit())) for _ in range(5)]
    beats = 0
    while not threads or beats < 5:
        await asyncio.sleep(0.01)
        beats += 1
    assert len(upstream.requests) == 0  # the loop went on meanwhile
    first.cancel()
    assert [len(images) for images in await asyncio.gather(*others)] == [1] * 4
    await generator.generate(edit())
    await generator.close()
    assert len(closed) == 1
    [thread] = threads
    assert thread is not threading.main_thread()
    assert len(upstream.edits) == 5


async def test_closing_while_the_sdk_is_imported_sends_nothing(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class WaitingSdk(sdk.Sdk):
        def __init__(self, *args: str) -> None:
            begun.set()
            go_on.wait(20)
            super().__init__(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sdk, "Sdk", WaitingSdk)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    task = asyncio.create_task(generator.generate(edit()))
    await asyncio.to_thread(begun.wait, 20)
    closing = asyncio.create_task(generator.close())
    await asyncio.sleep(0.05)
    go_on.set()
    with pytest.raises(GeneratorUnavailableError, match="closed"):
        await task
    await closing
    assert upstream.requests == []


async def test_an_address_that_only_the_sdk_does_not_take_fails_its_edits(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def refuse(*args: object, **kwargs: object) -> None:
        nonlocal tries
        tries += 1
        raise ValueError("not this one")

    monkeypatch.setattr(sdk, "PlainOpenAI", refuse)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    for number in (1, 2):
        with pytest.raises(GeneratorUnavailableError, match="for edits"):
            await generator.generate(edit())
        assert tries == number
    assert await generator.generate(GenerationRequest("a duck"))
    await generator.close()


@pytest.mark.parametrize(
    "error", [ImportError("secret"), OSError("secret"), TimeoutError("secret"), GeneratorUnavailableError("Not now.")]
)
async def test_an_sdk_that_cannot_be_made_fails_each_edit_by_itself_and_is_tried_again(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tries = 0
    sdk_class = sdk.Sdk

    def fail_once(*args: object) -> sdk.Sdk:
        nonlocal tries
        tries += 1
        if tries > 1:
            return sdk_class(*args)  # type: ignore[arg-type]
        time.sleep(0.2)
        raise error

    monkeypatch.setattr(sdk, "Sdk", fail_once)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    results = await asyncio.gather(*(generator.generate(edit()) for _ in range(3)), return_exceptions=True)
    assert tries == 1
    failures = [each for each in results if type(each) is GeneratorUnavailableError]
    assert len({id(each) for each in (*failures, error)}) == 4
    kind = "Not now." if isinstance(error, GeneratorError) else f"Edits cannot be sent: {type(error).__name__}."
    for each in failures:
        assert each.message == kind
        assert not each.may_have_been_paid
        assert type(each.__cause__) is type(error)
    assert upstream.requests == []
    assert await generator.generate(edit())
    assert tries == 2
    await generator.close()


async def test_a_failure_that_nobody_waited_for_is_not_the_next_edits(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, failed = threading.Event(), threading.Event(), threading.Event()
    sdk_class = sdk.Sdk

    def fail_once(*args: object) -> sdk.Sdk:
        if failed.is_set():
            return sdk_class(*args)  # type: ignore[arg-type]
        begun.set()
        go_on.wait(20)
        failed.set()
        raise OSError("too many open files")

    monkeypatch.setattr(sdk, "Sdk", fail_once)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    task = asyncio.create_task(generator.generate(edit()))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    await asyncio.wait([task])
    go_on.set()
    await asyncio.to_thread(failed.wait, 20)
    await asyncio.sleep(0.1)  # for the loop to hear of it
    assert await generator.generate(edit())
    await generator.close()


def failing_to_close(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """The answers to edits from now on, whose closing closes them and then fails."""
    answers: list[Answer] = []
    send = sdk.Sdk.edit

    async def edit_(self: sdk.Sdk, call: Call) -> Answer:
        answer = await send(self, call)
        answers.append(answer)
        close = answer.close

        async def fail() -> None:
            await close()
            raise SdkFailure("closing")

        answer.close = fail
        return answer

    monkeypatch.setattr(sdk.Sdk, "edit", edit_)
    return answers


@pytest.mark.parametrize("on_partial", [None, lambda partial: None], ids=["whole", "streamed"])
async def test_a_finished_picture_outlives_a_failure_to_close_its_answer(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, on_partial: Callable[[object], None] | None
) -> None:
    answers = failing_to_close(monkeypatch)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    assert len(await generator.generate(edit(), on_partial)) == 1
    upstream.script("html", path="/v1/images/edits")
    with pytest.raises(GeneratorResponseError):
        await generator.generate(edit(), on_partial)
    await generator.close()
    assert len(answers) == 2


@pytest.mark.parametrize("error", [httpx2.CloseError, ConnectionError, RuntimeError])
async def test_what_fails_to_close_keeps_nothing_else_open(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    answers = failing_to_close(monkeypatch)
    closed: list[str] = []
    sdk_close, upstream_close = sdk.PlainOpenAI.close, Upstream.close

    async def close_sdk(self: sdk.PlainOpenAI) -> None:
        closed.append("sdk")
        await sdk_close(self)
        raise error("closing")

    async def close_upstream(self: Upstream) -> None:
        closed.append("upstream")
        await upstream_close(self)

    monkeypatch.setattr(sdk.PlainOpenAI, "close", close_sdk)
    monkeypatch.setattr(Upstream, "close", close_upstream)
    upstream.script("hang-mid-body", "hang-mid-body", path="/v1/images/edits")
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    assert generator._opened is not None
    executor = generator._opened.executor
    tasks = [asyncio.create_task(generator.generate(edit())) for _ in range(2)]
    async with asyncio.timeout(9):
        while len(answers) < 2:
            await asyncio.sleep(0.005)
    if error is RuntimeError:
        with pytest.raises(RuntimeError, match="closing"):
            await generator.close()
    else:
        await generator.close()
    assert closed == ["sdk", "upstream"]
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(int)
    async with asyncio.timeout(9):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [GeneratorConnectionLostError] * 2
