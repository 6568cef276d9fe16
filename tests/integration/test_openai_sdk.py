"""The SDK is imported with the first edit, once, beside the event loop; who makes no edit does without."""

import asyncio
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixyproxy.adapters.openai import sdk
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.errors import GeneratorUnavailableError
from pixyproxy.domain.image import GenerationRequest, InputImage, Picture
from tests.fakes.openai_upstream import FakeUpstream
from tests.service import Service

KEY = "sk-test-0123456789abcdef"
DATA = b"a picture"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


def edit(prompt: str = "a hat") -> GenerationRequest:
    image = InputImage(io.BytesIO(DATA), Picture("image/png", 32, 32), len(DATA), "0" * 64)
    return GenerationRequest(prompt, images=(image,))


SCRIPT = """
import asyncio, io, sys
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.image import GenerationRequest, InputImage, Picture

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
    image = InputImage(io.BytesIO(b"x"), Picture("image/png", 1, 1), 1, "")
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
    def refuse(*args: object, **kwargs: object) -> None:
        raise ValueError("not this one")

    monkeypatch.setattr(sdk, "PlainOpenAI", refuse)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    for _ in range(2):
        with pytest.raises(GeneratorUnavailableError, match="for edits"):
            await generator.generate(edit())
    assert await generator.generate(GenerationRequest("a duck"))
    await generator.close()
