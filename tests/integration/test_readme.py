"""The generator in the README works as printed."""

import base64
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dependency_injector import providers

from pixyproxy.containers import build_container
from pixyproxy.domain import errors
from pixyproxy.domain.generation import GenerationRequest
from pixyproxy.domain.image import Status
from pixyproxy.opening import opened
from pixyproxy.settings import Settings
from tests.fixtures.generation import generated

README = (Path(__file__).parents[2] / "README.md").read_text()
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
Responses = dict[str, Any]


@pytest.fixture
def responses() -> Responses:
    """Return the status and body of the next response, and the bodies received so far."""
    return {"status": 200, "body": {"images": [base64.b64encode(PNG).decode()]}, "received": []}


@pytest.fixture
async def url(responses: Responses) -> AsyncIterator[str]:
    async def draw(request: web.Request) -> web.Response:
        responses["received"].append(await request.json())
        return web.json_response(responses["body"], status=responses["status"])

    app = web.Application()
    app.router.add_post("/sdapi/v1/txt2img", draw)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def generator_class() -> Callable[[str], Any]:
    [code] = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class " in code]
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    return names["StableDiffusionImageGenerator"]


async def test_the_generator_of_the_readme_makes_an_image(responses: Responses, url: str) -> None:
    container = build_container(Settings(PIXYPROXY_REPOSITORY="memory", PIXYPROXY_BLOB_STORE="memory"))  # type: ignore[call-arg]
    container.generator.override(providers.Singleton(generator_class(), url))
    async with opened(container):
        image = (await container.image_service().create(None, {"prompt": "a duck", "size": "64x32"})).image
    assert (image.status, image.request.generator, image.result.picture.width) == (Status.READY, "stable-diffusion", 1)
    assert responses["received"] == [{"prompt": "a duck", "width": 64, "height": 32, "batch_size": 1}]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(500, {}, errors.GeneratorUnavailableError), (200, {"images": []}, errors.GeneratorResponseError)],
)
async def test_failures_are_reported_as_the_port_requires(
    responses: Responses, url: str, status: int, body: Any, error: type[Exception]
) -> None:
    responses.update(status=status, body=body)
    generator = generator_class()(url)
    await generator.open()
    with pytest.raises(error):
        await generated(generator, GenerationRequest("a duck"))
    await generator.close()


async def test_an_unreachable_server_is_reported() -> None:
    generator = generator_class()("http://127.0.0.1:9")
    await generator.open()
    with pytest.raises(errors.GeneratorUnavailableError):
        await generated(generator, GenerationRequest("a duck"))
    await generator.close()
