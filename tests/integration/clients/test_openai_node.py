"""OpenAI's own client for Node, in front of the service: it works unchanged and pays once."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.openai.behaviours import picture_of, tokens
from tests.fixtures.openai.gateway import EDITS, Gateway, gateways, refusal
from tests.fixtures.openai.streams import partial_of
from tests.fixtures.requirements import missing
from tests.fixtures.service import PATIENCE_S

FOLDER = Path(__file__).parent / "node"
MODEL = "gpt-image-2"
SHORT_MS = 1000
"""Timeout of an impatient client: the upstream is blocked until the client has retried."""


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        missing("NODE", "no Node is installed here (node)")
    if not (FOLDER / "node_modules" / "openai").is_dir():
        missing("NODE", f"OpenAI's client for Node is not installed (npm ci in {FOLDER}; make test does it)")
    return found


@pytest.fixture(scope="module")
def on_database(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Gateway]]:
    with gateways(tmp_path_factory) as on:
        yield on


@pytest.fixture
def gateway(on_database: Callable[[str], Gateway]) -> Gateway:
    return begun(on_database("sqlite"))


@pytest.fixture(params=["sqlite", "mysql"])
def each_gateway(request: pytest.FixtureRequest, on_database: Callable[[str], Gateway]) -> Gateway:
    return begun(on_database(request.param))


def begun(gateway: Gateway) -> Gateway:
    gateway.begin()
    return gateway


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """Return a prompt that no other test uses."""
    return request.node.name.translate(str.maketrans("_[]", "   ")).strip()


@pytest.fixture
def client(node: str) -> Callable[..., dict[str, Any]]:
    """Run the client once and return its report: `answer` or `events`, `headers`, or `error`."""

    def run(
        gateway: Gateway,
        call: str,
        params: dict[str, Any] | None = None,
        *,
        options: dict[str, Any] | None = None,
        leave: bool = False,
        load: bool = False,
        **settings: Any,
    ) -> dict[str, Any]:
        own = {"baseURL": gateway.base_url, "apiKey": gateway.key} | settings
        requested = {"client": own, "call": call, "params": params or {}, "options": options or {}}
        done = subprocess.run(
            [node, "client.mjs"],
            cwd=FOLDER,
            input=json.dumps({**requested, "leave": leave, "load": load}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    return run


Client = Callable[..., dict[str, Any]]


def data_of(image: dict[str, Any]) -> bytes:
    return base64.b64decode(image["b64_json"], validate=True)


def same(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def test_a_picture_is_returned_in_base64_and_stored(client: Client, gateway: Gateway, prompt: str) -> None:
    options = {"size": "1024x1024", "quality": "low", "output_format": "png"}
    report = client(gateway, "generate", {"model": MODEL, "prompt": prompt, "n": 2, **options})
    answer = report["answer"]
    pictures = [picture_of(prompt), picture_of(prompt, 1)]
    assert [data_of(image) for image in answer["data"]] == pictures
    assert [gateway.content(image["guid"]) for image in answer["data"]] == pictures
    assert 0 < answer["usage"].pop("cost") < 1
    assert (answer["usage"], answer["quality"]) == (tokens(2), "low")
    assert f" {report['requestId']} " in gateway.service.log
    detail = gateway.detail(answer["data"][0]["guid"])
    assert (detail["prompt"], detail["author"], detail["parameters"]) == (prompt, "alice", {**options, "n": 2})
    assert gateway.charges == 1


def test_a_picture_is_returned_as_a_url_of_the_service(client: Client, gateway: Gateway, prompt: str) -> None:
    params = {"model": MODEL, "prompt": prompt, "response_format": "url", "visibility": "private"}
    [image] = client(gateway, "generate", params)["answer"]["data"]
    assert set(image) == {"guid", "url"}
    with gateway.service.client() as anybody:
        assert anybody.get(image["url"]).content == picture_of(prompt)
        assert anybody.get(f"/image/{image['guid']}/content").status_code == 404


def test_partial_images_precede_the_picture(client: Client, gateway: Gateway, prompt: str) -> None:
    params = {"model": MODEL, "prompt": prompt, "stream": True, "partial_images": 2}
    *views, final = client(gateway, "generate", params)["events"]
    assert [(view["type"], view["partial_image_index"], data_of(view)) for view in views] == [
        ("image_generation.partial_image", number, partial_of(prompt, number)) for number in range(2)
    ]
    assert 0 < final["usage"].pop("cost") < 1
    assert (final["type"], final["usage"]) == ("image_generation.completed", tokens(1))
    assert data_of(final) == gateway.content(final["guid"]) == picture_of(prompt)
    assert gateway.charges == 1


def test_a_picture_is_stored_though_its_client_has_left(client: Client, gateway: Gateway, prompt: str) -> None:
    left = False
    gateway.hold(lambda: left, "held then=stream after=1")
    params = {"model": MODEL, "prompt": prompt, "stream": True, "partial_images": 1}
    [view] = client(gateway, "generate", params, leave=True)["events"]
    left = True
    assert view["type"] == "image_generation.partial_image"
    [detail] = gateway.made_for(prompt)
    assert gateway.content(detail["guid"]) == picture_of(prompt)
    assert gateway.charges == gateway.calls == 1


def test_files_are_edited(client: Client, gateway: Gateway, prompt: str, tmp_path: Path) -> None:
    originals = {name: picture_of(name, size=size) for name, size in (("one", None), ("two", 300_000), ("mask", None))}
    paths = {}
    for name, data in originals.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        paths[name] = str(path)
    for image, names in ((paths["one"], ["image"]), ([paths["one"], paths["two"]], ["image[]", "image[]", "mask"])):
        mask = {"mask": paths["mask"]} if len(names) > 1 else {}
        params = {"model": MODEL, "prompt": prompt, "image": image, "quality": "low", **mask}
        [made] = client(gateway, "edit", params)["answer"]["data"]
        assert data_of(made) == gateway.content(made["guid"]) == picture_of(prompt)
        received = gateway.upstream.edits[-1].files
        assert [part.name for part in received] == names
        assert [(part.size, part.sha256) for part in received] == [
            same(data) for data in list(originals.values())[: 1 if len(names) == 1 else 3]
        ]
        assert gateway.detail(made["guid"])["parameters"] == {"quality": "low"}
    assert gateway.charges == 2


def test_an_edit_is_streamed(client: Client, gateway: Gateway, prompt: str, tmp_path: Path) -> None:
    path = tmp_path / "duck.png"
    path.write_bytes(picture_of("a duck"))
    params = {"model": MODEL, "prompt": prompt, "image": str(path), "stream": True, "partial_images": 1}
    view, final = client(gateway, "edit", params)["events"]
    assert (view["type"], final["type"]) == ("image_edit.partial_image", "image_edit.completed")
    assert data_of(final) == gateway.content(final["guid"]) == picture_of(prompt)


def test_stored_images_are_edited_by_guid_and_their_children_found(
    client: Client, gateway: Gateway, prompt: str
) -> None:
    parent = gateway.store(f"{prompt}: parent", visibility="private")
    params = {"model": MODEL, "prompt": prompt, "images": [{"file_id": parent}]}
    [image] = client(gateway, "edit-stored", params)["answer"]["data"]
    [received] = gateway.upstream.edits[-1].files
    assert (received.size, received.sha256) == same(gateway.content(parent))
    assert gateway.detail(image["guid"])["derived_from"] == [parent]
    assert [child["guid"] for child in gateway.get("/image", derived_from=parent).json()] == [image["guid"]]


def test_models_are_listed_and_looked_up(client: Client, gateway: Gateway) -> None:
    listed = client(gateway, "models")["answer"]
    assert [model["id"] for model in listed["data"]] == ["chatgpt-image-latest", "dall-e-3", "gpt-image-1", MODEL]
    assert client(gateway, "model", {"id": "gpt-image-1"})["answer"]["shutdown_date"] == "2026-10-23"
    missing = client(gateway, "model", {"id": "none"})["error"]
    assert (missing["name"], missing["code"]) == ("NotFoundError", "model_not_found")


def test_a_wrong_key_is_refused(client: Client, gateway: Gateway, prompt: str) -> None:
    error = client(gateway, "generate", {"prompt": prompt}, apiKey="sk-wrong-0123456789")["error"]
    assert (error["name"], error["status"], error["code"]) == ("AuthenticationError", 401, "invalid_api_key")
    assert f" {error['requestId']} " in gateway.service.log
    assert "sk-wrong" not in error["message"]
    assert gateway.calls == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_keeps_the_upstreams_message(client: Client, gateway: Gateway, prompt: str, stream: bool) -> None:
    gateway.upstream.script("moderation")
    error = client(gateway, "generate", {"prompt": prompt, "stream": stream})["error"]
    assert (error["name"], error["status"], error["body"]) == ("BadRequestError", 400, refusal("moderation"))
    assert (gateway.calls, gateway.charges) == (1, 0)


def test_an_error_after_a_partial_image_is_thrown_at_once(client: Client, gateway: Gateway, prompt: str) -> None:
    gateway.upstream.script("stream partials=1 error=moderation")
    report = client(gateway, "generate", {"prompt": prompt, "stream": True})
    assert [event["type"] for event in report["events"]] == ["image_generation.partial_image"]
    assert report["error"]["body"] == refusal("moderation")


def test_a_rate_limit_has_a_retry_delay(client: Client, gateway: Gateway, prompt: str) -> None:
    # Longer than the queue waits; the service remembers it by model.
    gateway.upstream.script("429 retry_after=1999")
    error = client(gateway, "generate", {"prompt": prompt, "model": f"limited {prompt}"}, maxRetries=0)["error"]
    assert (error["name"], error["headers"]["retry-after"]) == ("RateLimitError", "1999")
    assert error["body"] == refusal("429")
    assert (gateway.calls, gateway.charges) == (1, 0)


def test_a_rate_limit_that_passes_is_waited_for(client: Client, each_gateway: Gateway, prompt: str) -> None:
    # The service waits and tries again: the client learns nothing of it.
    each_gateway.upstream.script(*["429 retry_after_ms=1"] * 3)
    [image] = client(each_gateway, "generate", {"prompt": prompt})["answer"]["data"]
    assert data_of(image) == picture_of(prompt)
    assert (each_gateway.calls, each_gateway.charges) == (4, 1)


@pytest.mark.parametrize("spec", ["504", "reset-mid-body"])
def test_a_possibly_paid_request_is_not_repeated(client: Client, each_gateway: Gateway, prompt: str, spec: str) -> None:
    each_gateway.upstream.script(spec)
    error = client(each_gateway, "generate", {"prompt": prompt})["error"]
    assert (error["name"], error["headers"]["x-should-retry"]) == ("InternalServerError", "false")
    assert each_gateway.calls == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_loses_patience_gets_the_picture_of_its_first_try(
    client: Client, each_gateway: Gateway, prompt: str, stream: bool
) -> None:
    each_gateway.hold_until_retried("held")
    report = client(each_gateway, "generate", {"prompt": prompt, "stream": stream}, timeout=SHORT_MS)
    [image] = report["events"] if stream else report["answer"]["data"]
    assert data_of(image) == each_gateway.content(image["guid"]) == picture_of(prompt)
    assert [detail["guid"] for detail in each_gateway.made_for(prompt)] == [image["guid"]]
    assert each_gateway.calls == each_gateway.charges == 1


def test_a_client_that_loses_patience_with_an_edit_gets_its_picture(
    client: Client, each_gateway: Gateway, prompt: str, tmp_path: Path
) -> None:
    path = tmp_path / "duck.png"
    path.write_bytes(picture_of("a duck"))
    each_gateway.hold_until_retried("held", path=EDITS)
    report = client(each_gateway, "edit", {"prompt": prompt, "image": str(path)}, load=True, timeout=SHORT_MS)
    assert data_of(report["answer"]["data"][0]) == picture_of(prompt)
    assert each_gateway.calls == each_gateway.charges == 1


def test_an_idempotency_key_is_honoured(client: Client, each_gateway: Gateway, prompt: str) -> None:
    options = {"idempotencyKey": "honoured", "headers": {"Idempotency-Key": "honoured"}}
    first, second = (client(each_gateway, "generate", {"prompt": prompt}, options=options) for _ in range(2))
    assert first["answer"]["data"] == second["answer"]["data"]
    assert second["headers"]["idempotent-replayed"] == "true"
    assert each_gateway.calls == each_gateway.charges == 1


def test_the_lock_holds_no_address() -> None:
    lock = (FOLDER / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in lock
    assert "resolved" not in lock
    assert "://" not in lock
