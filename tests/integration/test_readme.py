"""What the README shows is true: its generator works as it stands there."""

import base64
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dependency_injector import providers

from pixyproxy.containers import build_container, opened
from pixyproxy.domain import errors
from pixyproxy.domain.generation import GenerationRequest
from pixyproxy.domain.image import Status
from pixyproxy.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
Answers = dict[str, Any]


@pytest.fixture
def answers() -> Answers:
    """What the next request is answered: a status and a JSON body."""
    return {"status": 200, "body": {"images": [base64.b64encode(PNG).decode()]}, "asked": []}


@pytest.fixture
async def url(answers: Answers) -> AsyncIterator[str]:
    async def draw(request: web.Request) -> web.Response:
        answers["asked"].append(await request.json())
        return web.json_response(answers["body"], status=answers["status"])

    app = web.Application()
    app.router.add_post("/sdapi/v1/txt2img", draw)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def generator_class() -> Callable[[str], Any]:
    [code] = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class " in code]
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    return names["StableDiffusionImageGenerator"]


async def test_the_generator_of_the_readme_makes_an_image(answers: Answers, url: str) -> None:
    container = build_container(Settings(PIXYPROXY_REPOSITORY="memory", PIXYPROXY_BLOB_STORE="memory"))  # type: ignore[call-arg]
    container.generator.override(providers.Singleton(generator_class(), url))
    async with opened(container):
        image = (await container.image_service().create(None, {"prompt": "a duck", "size": "64x32"})).image
    assert (image.status, image.request.generator, image.result.picture.width) == (Status.READY, "stable-diffusion", 1)
    assert answers["asked"] == [{"prompt": "a duck", "width": 64, "height": 32, "batch_size": 1}]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(500, {}, errors.GeneratorUnavailableError), (200, {"images": []}, errors.GeneratorResponseError)],
)
async def test_it_reports_failures_as_the_port_asks(
    answers: Answers, url: str, status: int, body: Any, error: type[Exception]
) -> None:
    answers.update(status=status, body=body)
    generator = generator_class()(url)
    await generator.open()
    with pytest.raises(error):
        await generator.generate(GenerationRequest("a duck"))
    await generator.close()


async def test_it_reports_a_server_that_is_not_there() -> None:
    generator = generator_class()("http://127.0.0.1:9")
    await generator.open()
    with pytest.raises(errors.GeneratorUnavailableError):
        await generator.generate(GenerationRequest("a duck"))
    await generator.close()
