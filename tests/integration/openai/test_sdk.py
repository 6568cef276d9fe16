"""The SDK is imported in a thread for the first edit, and not at all if there is none."""

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
from pixyproxy.adapters.openai.error_responses import SdkFailure
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.request import UpstreamRequest
from pixyproxy.adapters.openai.upstream_client import UpstreamClient
from pixyproxy.adapters.openai.upstream_response import UpstreamResponse
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


def test_without_edits_the_sdk_is_not_imported(upstream: FakeUpstream) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, upstream.base_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"], done.stderr
    assert len(upstream.edits) == 1


def test_a_service_without_edits_does_not_import_the_sdk(upstream: FakeUpstream, tmp_path: Path) -> None:
    values = {"PIXYPROXY_GENERATOR": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": upstream.base_url}
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "def report():\n"
        "    with open(os.environ['MODULES_FILE'], 'a') as file:\n"
        "        file.write(' '.join(sorted(sys.modules)) + '\\n')\n"
        "atexit.register(report)\n"
    )
    modules_file = tmp_path / "modules"
    with Service(tmp_path / "service", **values, PYTHONPATH=str(tmp_path), MODULES_FILE=str(modules_file)) as service:
        service.add_user("alice", "secret")
        with service.client(auth=("alice", "secret")) as client:
            assert client.post("/image", json={"prompt": "a duck"}).status_code == 200
    [modules] = modules_file.read_text().splitlines()
    assert "aiohttp" in modules.split()
    assert not {"openai", "httpx2", "pixyproxy.adapters.openai.sdk"} & set(modules.split())


async def test_concurrent_edits_share_one_client(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    closed: list[sdk.SdkClient] = []

    class SlowSdk(sdk.SdkClient):
        def __init__(self, *args: str) -> None:
            threads.append(threading.current_thread())
            time.sleep(0.2)
            super().__init__(*args)  # type: ignore[arg-type]

        async def close(self) -> None:
            closed.append(self)
            await super().close()

    monkeypatch.setattr(sdk, "SdkClient", SlowSdk)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    tasks = [asyncio.create_task(generator.generate(edit())) for _ in range(4)]
    beats = 0
    while not threads or beats < 5:
        await asyncio.sleep(0.01)
        beats += 1
    assert len(upstream.requests) == 0  # the event loop was not blocked
    assert [len(images) for images in await asyncio.gather(*tasks)] == [1] * 4
    await generator.generate(edit())
    await generator.close()
    assert len(closed) == 1
    [thread] = threads
    assert thread is not threading.main_thread()
    assert len(upstream.edits) == 5


async def test_an_edit_is_not_sent_if_the_generator_is_closed_during_the_import(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class WaitingSdk(sdk.SdkClient):
        def __init__(self, *args: str) -> None:
            begun.set()
            go_on.wait(20)
            super().__init__(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sdk, "SdkClient", WaitingSdk)
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


async def test_an_address_that_only_the_sdk_refuses_fails_edits_only(
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
async def test_a_failed_import_fails_one_edit_and_is_repeated_for_the_next(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tries = 0
    sdk_class = sdk.SdkClient

    def fail_once(*args: object) -> sdk.SdkClient:
        nonlocal tries
        tries += 1
        if tries > 1:
            return sdk_class(*args)  # type: ignore[arg-type]
        raise error

    monkeypatch.setattr(sdk, "SdkClient", fail_once)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    with pytest.raises(GeneratorUnavailableError) as caught:
        await generator.generate(edit())
    expected = "Not now." if isinstance(error, GeneratorError) else f"Edits cannot be sent: {type(error).__name__}."
    assert caught.value.message == expected
    assert not caught.value.may_have_been_paid
    assert upstream.requests == []
    assert await generator.generate(edit())
    assert tries == 2
    await generator.close()


async def test_a_cancelled_edit_during_the_import_does_not_fail_the_next_one(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, failed = threading.Event(), threading.Event(), threading.Event()
    sdk_class = sdk.SdkClient

    def fail_once(*args: object) -> sdk.SdkClient:
        if begun.is_set():
            return sdk_class(*args)  # type: ignore[arg-type]
        begun.set()
        go_on.wait(20)
        failed.set()
        raise OSError("too many open files")

    monkeypatch.setattr(sdk, "SdkClient", fail_once)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    task = asyncio.create_task(generator.generate(edit()))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    await asyncio.wait([task])
    assert await generator.generate(edit())
    go_on.set()
    await asyncio.to_thread(failed.wait, 20)
    assert await generator.generate(edit())
    await generator.close()


def failing_to_close(monkeypatch: pytest.MonkeyPatch) -> list[UpstreamResponse]:
    """Make closing a response to an edit fail after it is closed; return the responses."""
    responses: list[UpstreamResponse] = []
    send = sdk.SdkClient.edit

    async def edit_(self: sdk.SdkClient, request: UpstreamRequest) -> UpstreamResponse:
        response = await send(self, request)
        responses.append(response)
        close = response.close

        async def fail() -> None:
            await close()
            raise SdkFailure("closing")

        response.close = fail
        return response

    monkeypatch.setattr(sdk.SdkClient, "edit", edit_)
    return responses


@pytest.mark.parametrize("on_partial", [None, lambda partial: None], ids=["whole", "streamed"])
async def test_a_failure_to_close_the_response_does_not_lose_the_picture(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, on_partial: Callable[[object], None] | None
) -> None:
    responses = failing_to_close(monkeypatch)
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    assert len(await generator.generate(edit(), on_partial)) == 1
    upstream.script("html", path="/v1/images/edits")
    with pytest.raises(GeneratorResponseError):
        await generator.generate(edit(), on_partial)
    await generator.close()
    assert len(responses) == 2


@pytest.mark.parametrize("error", [httpx2.CloseError, ConnectionError, RuntimeError])
async def test_a_failure_to_close_one_resource_leaves_no_other_open(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    responses = failing_to_close(monkeypatch)
    closed: list[str] = []
    sdk_close, upstream_close = sdk.PlainOpenAI.close, UpstreamClient.close

    async def close_sdk(self: sdk.PlainOpenAI) -> None:
        closed.append("sdk")
        await sdk_close(self)
        raise error("closing")

    async def close_upstream(self: UpstreamClient) -> None:
        closed.append("upstream")
        await upstream_close(self)

    monkeypatch.setattr(sdk.PlainOpenAI, "close", close_sdk)
    monkeypatch.setattr(UpstreamClient, "close", close_upstream)
    upstream.script("hang-mid-body", "hang-mid-body", path="/v1/images/edits")
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "gpt-image-2")
    await generator.open()
    assert generator._resources is not None
    executor = generator._resources.executor
    tasks = [asyncio.create_task(generator.generate(edit())) for _ in range(2)]
    async with asyncio.timeout(9):
        while len(responses) < 2:
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
