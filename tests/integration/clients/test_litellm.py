"""LiteLLM's SDK in front of the service: it works unchanged and pays once."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.openai.behaviours import picture_of, tokens
from tests.fixtures.openai.gateway import EDITS, Gateway, refusal, running_gateway
from tests.fixtures.service import PATIENCE_S

SCRIPT = Path(__file__).parent / "litellm_client.py"
pytestmark = pytest.mark.slow
SHORT_S = 1.0
"""Timeout of an impatient client: the upstream is blocked until the client has retried."""

Report = dict[str, Any]
Client = Callable[..., Report]


@pytest.fixture(scope="module")
def shared_gateway(litellm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("litellm")) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    shared_gateway.begin()
    return shared_gateway


@pytest.fixture(scope="module")
def client(litellm_python: str, shared_gateway: Gateway) -> Iterator[Client]:
    """Call a function of `litellm` in one shared process, and return its report: `answer` or `error`."""
    gateway = shared_gateway
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    process = subprocess.Popen(
        [litellm_python, str(SCRIPT)],
        env=inherited | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # else it is fetched
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def call(name: str, **params: Any) -> Report:
        own = {"model": "openai/gpt-image-2", "api_base": gateway.base_url, "api_key": gateway.key}
        stdin.write(json.dumps({"call": name, "params": own | params}) + "\n")
        stdin.flush()
        report: Report = json.loads(stdout.readline())
        return report

    yield call
    stdin.close()
    stdout.close()
    assert process.wait(PATIENCE_S) == 0


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """Return a prompt that no other test uses."""
    return request.node.name.translate(str.maketrans("_[]", "   ")).strip()


def pictures(report: Report) -> list[bytes]:
    return [base64.b64decode(image["b64_json"], validate=True) for image in report["answer"]["data"]]


@pytest.mark.parametrize("call", ["image_generation", "aimage_generation"])
def test_pictures_are_made_and_remembered(client: Client, gateway: Gateway, prompt: str, call: str) -> None:
    report = client(call, prompt=prompt, n=2, size="1024x1024", quality="low")
    assert pictures(report) == [picture_of(prompt), picture_of(prompt, 1)]
    assert report["answer"]["usage"]["total_tokens"] == tokens(2)["total_tokens"]
    made = gateway.made_for(prompt)
    assert {gateway.content(detail["guid"]) for detail in made} == set(pictures(report))
    for detail in made:
        assert (detail["author"], detail["model"]) == ("alice", "gpt-image-2")
        assert detail["parameters"] == {"size": "1024x1024", "quality": "low", "n": 2}
    assert gateway.charges == 1


def test_parameters_of_the_service_are_passed_on(client: Client, gateway: Gateway, prompt: str) -> None:
    client("image_generation", prompt=prompt, extra_body={"visibility": "private", "tags": ["duck"]})
    [detail] = gateway.made_for(prompt)
    assert (detail["visibility"], detail["tags"]) == ("private", ["duck"])


@pytest.mark.parametrize("call", ["image_edit", "aimage_edit"])
def test_files_are_edited(client: Client, gateway: Gateway, prompt: str, call: str, tmp_path: Path) -> None:
    path = tmp_path / "duck.png"
    path.write_bytes(picture_of("a duck"))
    report = client(call, prompt=prompt, image=[str(path), str(path)], mask=str(path))
    assert pictures(report) == [picture_of(prompt)]
    received = gateway.upstream.edits[-1].files
    assert [(part.name, part.size) for part in received] == [
        (name, path.stat().st_size) for name in ("image[]", "image[]", "mask")
    ]
    assert [gateway.content(detail["guid"]) for detail in gateway.made_for(prompt)] == pictures(report)
    assert gateway.charges == 1


def test_a_wrong_key_is_refused(client: Client, gateway: Gateway, prompt: str) -> None:
    error = client("image_generation", prompt=prompt, api_key="sk-wrong-0123456789")["error"]
    assert (error["name"], error["status"]) == ("AuthenticationError", 401)
    assert gateway.calls == 0


def test_a_refusal_keeps_the_upstreams_message(client: Client, gateway: Gateway, prompt: str) -> None:
    gateway.upstream.script("moderation")
    error = client("image_generation", prompt=prompt)["error"]
    assert (error["status"], refusal("moderation")["message"] in error["message"]) == (400, True)
    assert (gateway.calls, gateway.charges) == (1, 0)


def test_a_rate_limit_is_one(client: Client, gateway: Gateway, prompt: str) -> None:
    # Longer than the queue waits; the service remembers it by model.
    gateway.upstream.script("429 retry_after=1999")
    error = client("image_generation", prompt=prompt, model="openai/limited")["error"]
    assert (error["name"], error["status"]) == ("RateLimitError", 429)
    assert (gateway.calls, gateway.charges) == (1, 0)


@pytest.mark.parametrize("spec", ["504", "reset-mid-body"])
def test_a_possibly_paid_request_is_not_repeated(client: Client, gateway: Gateway, prompt: str, spec: str) -> None:
    gateway.upstream.script(spec)
    error = client("image_generation", prompt=prompt)["error"]
    assert error["status"] in (500, 502, 504)
    assert gateway.calls == 1


@pytest.mark.parametrize("call", ["image_generation", "aimage_generation"])
def test_a_client_that_loses_patience_gets_the_picture_of_its_first_try(
    client: Client, gateway: Gateway, prompt: str, call: str
) -> None:
    gateway.hold_until_retried("held")
    assert pictures(client(call, prompt=prompt, timeout=SHORT_S)) == [picture_of(prompt)]
    assert len(gateway.made_for(prompt)) == 1
    assert gateway.calls == gateway.charges == 1


def test_a_client_that_loses_patience_with_an_edit_pays_once(
    client: Client, gateway: Gateway, prompt: str, tmp_path: Path
) -> None:
    """The client does not retry here; the picture is stored all the same."""
    path = tmp_path / "duck.png"
    path.write_bytes(picture_of("a duck"))
    done = False
    gateway.hold(lambda: done, "held", path=EDITS)
    error = client("image_edit", prompt=prompt, image=str(path), timeout=SHORT_S)["error"]
    assert "Timeout" in error["name"] + error["message"]
    done = True
    [detail] = gateway.made_for(prompt)
    assert gateway.content(detail["guid"]) == picture_of(prompt)
    assert gateway.calls == gateway.charges == 1
