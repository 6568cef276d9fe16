"""OpenAI's own client for Python, sync and async, in front of the service: it works unchanged and pays once."""

import asyncio
import base64
import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
)

from tests.fixtures.openai.behaviours import picture_of, tokens
from tests.fixtures.openai.gateway import EDITS, Gateway, gateways, refusal
from tests.fixtures.openai.streams import partial_of
from tests.fixtures.service import Deadline

SHORT_S = 1.0
"""Timeout of an impatient client: the upstream is blocked until the client has retried."""
MODEL = "gpt-image-2"


class Caller:
    """Uniform access to the sync and async clients; options are those of the client."""

    def __init__(self, gateway: Gateway, *, is_async: bool) -> None:
        self.gateway = gateway
        self._is_async = is_async

    def ask(self, question: Callable[[Any], Any], **options: Any) -> Any:
        """Return what the client's call returns."""
        if not self._is_async:
            with openai.OpenAI(**self._options(options)) as client:
                return question(client)

        async def ask() -> Any:
            async with openai.AsyncOpenAI(**self._options(options)) as client:
                return await question(client)

        return asyncio.run(ask())

    def watch(
        self, question: Callable[[Any], Any], see: Callable[[Any], bool | None] = lambda _: None, **options: Any
    ) -> list[Any]:
        """Return the events of a stream; `see` gets each one and returns True to disconnect."""
        events: list[Any] = []
        if not self._is_async:
            with openai.OpenAI(**self._options(options)) as client, question(client) as stream:
                for event in stream:
                    events.append(event)
                    if see(event):
                        break
            return events

        async def watch() -> None:
            async with openai.AsyncOpenAI(**self._options(options)) as client, await question(client) as stream:
                async for event in stream:
                    events.append(event)
                    if see(event):
                        break

        asyncio.run(watch())
        return events

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"base_url": self.gateway.base_url, "api_key": self.gateway.key} | options


@pytest.fixture(scope="module")
def on_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Gateway]]:
    with gateways(tmp_path_factory) as on:
        yield on


@pytest.fixture(params=["sync on sqlite", "async on mysql"])
def caller(request: pytest.FixtureRequest, on_database: Callable[[str], Gateway]) -> Caller:
    kind, _, database = request.param.partition(" on ")
    gateway = on_database(database)
    gateway.begin()
    return Caller(gateway, is_async=kind == "async")


@pytest.fixture
def gateway(caller: Caller) -> Gateway:
    return caller.gateway


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """Return a prompt that no other test uses."""
    return request.node.name.translate(str.maketrans("_[]", "   ")).strip()


def priced(usage: Any) -> dict[str, Any]:
    """Return the usage that the upstream reported, beside which there is what it cost."""
    reported: dict[str, Any] = usage.model_dump(exclude_none=True)
    assert 0 < reported.pop("cost") < 1
    return reported


def data_of(image: Any) -> bytes:
    return base64.b64decode(image.b64_json, validate=True)


def same(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


# --- pictures ---------------------------------------------------------------------------------------------------


def test_a_picture_is_returned_in_base64_and_stored(caller: Caller, gateway: Gateway, prompt: str) -> None:
    options = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt, **options))
    assert isinstance(answer, ImagesResponse)
    [image] = answer.data
    assert (data_of(image), image.url) == (picture_of(prompt), None)
    assert (answer.quality, answer.background, answer.output_format) == ("low", "opaque", "png")
    assert priced(answer.usage) == tokens(1)
    assert answer.created > 0
    assert f" {answer._request_id} " in gateway.service.log
    detail = gateway.detail(image.guid)
    assert (detail["prompt"], detail["author"], detail["visibility"]) == (prompt, "alice", "public")
    assert (detail["model"], detail["parameters"], detail["usage"]) == (MODEL, options, tokens(1))
    assert gateway.content(image.guid) == picture_of(prompt)
    sent = gateway.upstream.generations[-1].json
    assert sent == {"prompt": prompt, "model": MODEL, **options}
    assert gateway.charges == 1


def test_a_picture_is_returned_as_a_url_of_the_service(caller: Caller, gateway: Gateway, prompt: str) -> None:
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt, response_format="url"))
    [image] = answer.data
    content_url = gateway.detail(image.guid)["content_url"]
    assert (image.b64_json, image.url) == (None, f"{gateway.service.url}{content_url}")
    assert content_url.startswith(f"/image/{image.guid}/content/")
    assert content_url.endswith(".png")
    with gateway.service.client() as anybody:
        assert anybody.get(image.url).content == picture_of(prompt)
    assert gateway.charges == 1


def test_several_pictures_are_images_of_their_own(caller: Caller, gateway: Gateway, prompt: str) -> None:
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt, n=3))
    pictures = [picture_of(prompt, number) for number in range(3)]
    assert [data_of(image) for image in answer.data] == pictures
    assert priced(answer.usage) == tokens(3)
    guids = [image.guid for image in answer.data]
    assert len(set(guids)) == 3
    assert [gateway.content(guid) for guid in guids] == pictures
    shares = [gateway.detail(guid)["usage"]["total_tokens"] for guid in guids]
    assert sum(shares) == answer.usage.total_tokens
    assert max(shares) - min(shares) <= 1
    assert gateway.charges == 1


def test_a_private_picture_has_a_signed_address(caller: Caller, gateway: Gateway, prompt: str) -> None:
    answer = caller.ask(
        lambda client: client.images.generate(
            model=MODEL, prompt=prompt, response_format="url", extra_body={"visibility": "private", "tags": ["secret"]}
        )
    )
    [image] = answer.data
    address = httpx.URL(image.url)
    assert set(address.params) == {"expires", "signature"}
    with gateway.service.client() as anybody:
        assert anybody.get(address).content == picture_of(prompt)
        assert anybody.get(address.copy_with(query=None)).status_code == 404
        assert anybody.get(f"/image/{image.guid}").status_code == 404
    detail = gateway.detail(image.guid)
    assert (detail["visibility"], detail["tags"]) == ("private", ["secret"])
    assert "visibility" not in gateway.upstream.generations[-1].json


def test_unknown_parameters_are_passed_on(caller: Caller, gateway: Gateway, prompt: str) -> None:
    extra = {"moderation": "low", "complexity": "high", "svg": {"model": "x", "reasoning": {"effort": "low"}}}
    answer = caller.ask(
        lambda client: client.images.generate(model="tomorrow-1", prompt=prompt, user="u-1", extra_body=extra)
    )
    sent = gateway.upstream.generations[-1].json
    assert sent == {"prompt": prompt, "model": "tomorrow-1", "user": "u-1", **extra}
    assert gateway.detail(answer.data[0].guid)["parameters"] == extra


# --- streams ----------------------------------------------------------------------------------------------------


def test_partial_images_arrive_before_the_picture_is_finished(caller: Caller, gateway: Gateway, prompt: str) -> None:
    seen = threading.Event()
    gateway.hold(seen.is_set, "held then=stream after=1")
    events = caller.watch(
        lambda client: client.images.generate(
            model=MODEL, prompt=prompt, stream=True, partial_images=2, quality="low", output_format="png"
        ),
        lambda _: seen.set(),
    )
    kinds = [ImageGenPartialImageEvent, ImageGenPartialImageEvent, ImageGenCompletedEvent]
    assert [type(event) for event in events] == kinds
    *views, final = events
    assert [view.partial_image_index for view in views] == [0, 1]
    assert [data_of(view) for view in views] == [partial_of(prompt, 0), partial_of(prompt, 1)]
    for event in events:
        assert event.type == f"image_generation.{'completed' if event is final else 'partial_image'}"
        assert (event.quality, event.background, event.output_format) == ("low", "opaque", "png")
        assert event.created_at > 0
    assert priced(final.usage) == tokens(1)
    assert data_of(final) == gateway.content(final.guid) == picture_of(prompt)
    assert gateway.detail(final.guid)["usage"] == tokens(1)
    assert gateway.charges == 1


def test_an_upstream_that_does_not_stream_is_waited_for(caller: Caller, gateway: Gateway, prompt: str) -> None:
    gateway.upstream.script("drip")
    [final] = caller.watch(
        lambda client: client.images.generate(model=MODEL, prompt=prompt, stream=True, partial_images=2)
    )
    assert type(final) is ImageGenCompletedEvent
    assert data_of(final) == gateway.content(final.guid) == picture_of(prompt)


def test_a_picture_is_stored_though_its_client_has_left(caller: Caller, gateway: Gateway, prompt: str) -> None:
    left = threading.Event()
    gateway.hold(left.is_set, "held then=stream after=1")

    def generate(client: Any) -> Any:
        return client.images.generate(
            model=MODEL, prompt=prompt, stream=True, partial_images=1, extra_headers={"Idempotency-Key": "left"}
        )

    [view] = caller.watch(generate, lambda _: True)
    left.set()
    assert type(view) is ImageGenPartialImageEvent
    [detail] = gateway.made_for(prompt)
    assert gateway.content(detail["guid"]) == picture_of(prompt)
    [final] = caller.watch(generate)
    assert (final.guid, data_of(final)) == (detail["guid"], picture_of(prompt))
    assert gateway.charges == gateway.calls == 1


def test_an_error_after_a_partial_image_is_raised_at_once(caller: Caller, gateway: Gateway, prompt: str) -> None:
    gateway.upstream.script("stream partials=1 error=moderation")
    seen: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        caller.watch(lambda client: client.images.generate(model=MODEL, prompt=prompt, stream=True), seen.append)
    assert [type(event) for event in seen] == [ImageGenPartialImageEvent]
    assert caught.value.body == refusal("moderation")
    assert gateway.calls == 1


# --- edits ------------------------------------------------------------------------------------------------------


def test_a_file_is_edited(caller: Caller, gateway: Gateway, prompt: str, tmp_path: Path) -> None:
    original = picture_of("a duck")
    path = tmp_path / "duck.png"
    path.write_bytes(original)
    with path.open("rb") as file:
        answer = caller.ask(
            lambda client: client.images.edit(
                model=MODEL, image=file, prompt=prompt, input_fidelity="high", n=2, response_format="url"
            )
        )
    [received] = gateway.upstream.edits[-1].files
    assert (received.name, received.content_type) == ("image", "image/png")
    assert (received.size, received.sha256) == same(original)
    assert {**gateway.upstream.edits[-1].json} == {
        "prompt": prompt, "model": MODEL, "n": "2", "input_fidelity": "high",
    }  # fmt: skip
    assert [gateway.content(image.guid) for image in answer.data] == [picture_of(prompt), picture_of(prompt, 1)]
    detail = gateway.detail(answer.data[0].guid)
    assert (detail["derived_from"], detail["parameters"]) == ([], {"input_fidelity": "high", "n": 2})
    assert gateway.charges == 1


def test_several_files_and_a_mask_are_edited(caller: Caller, gateway: Gateway, prompt: str) -> None:
    originals = [picture_of("one"), picture_of("two", image_format="webp"), picture_of("large", size=300_000)]
    mask = picture_of("a mask")
    answer = caller.ask(
        lambda client: client.images.edit(
            model=MODEL,
            image=[originals[0], ("two.webp", io.BytesIO(originals[1])), ("large.png", originals[2], "image/png")],
            mask=("mask.png", mask),
            prompt=prompt,
            extra_body={"visibility": "private", "tags": ["a", "b"]},
        )
    )
    received = gateway.upstream.edits[-1].files
    assert [part.name for part in received] == ["image[]", "image[]", "image[]", "mask"]
    assert [part.content_type for part in received] == ["image/png", "image/webp", "image/png", "image/png"]
    assert [(part.size, part.sha256) for part in received] == [same(data) for data in (*originals, mask)]
    [image] = answer.data
    assert data_of(image) == gateway.content(image.guid) == picture_of(prompt)
    detail = gateway.detail(image.guid)
    assert (detail["visibility"], detail["tags"]) == ("private", ["a", "b"])
    assert gateway.charges == 1


def test_stored_images_are_edited_by_guid_and_their_children_found(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    parents = [gateway.store(f"{prompt}: parent"), gateway.store(f"{prompt}: other parent", visibility="private")]
    body = {"model": MODEL, "prompt": prompt, "images": [{"file_id": guid} for guid in parents]}
    answer = caller.ask(lambda client: client.post("/images/edits", body=body, cast_to=ImagesResponse))
    assert isinstance(answer, ImagesResponse)
    [image] = answer.data
    received = gateway.upstream.edits[-1].files
    assert [(part.size, part.sha256) for part in received] == [same(gateway.content(guid)) for guid in parents]
    assert gateway.detail(image.guid)["derived_from"] == parents
    for parent in parents:
        children = gateway.get("/image", derived_from=parent).json()
        assert [child["guid"] for child in children] == [image.guid]
    assert gateway.charges == 1


def test_an_edit_is_streamed(caller: Caller, gateway: Gateway, prompt: str) -> None:
    events = caller.watch(
        lambda client: client.images.edit(
            model=MODEL, image=picture_of("a duck"), prompt=prompt, stream=True, partial_images=1
        )
    )
    assert [type(event) for event in events] == [ImageEditPartialImageEvent, ImageEditCompletedEvent]
    view, final = events
    assert (view.partial_image_index, data_of(view)) == (0, partial_of(prompt, 0))
    assert data_of(final) == gateway.content(final.guid) == picture_of(prompt)
    assert priced(final.usage) == tokens(1)
    assert gateway.charges == 1


# --- models -----------------------------------------------------------------------------------------------------


def test_models_are_listed_and_looked_up(caller: Caller, gateway: Gateway) -> None:
    listed = caller.ask(lambda client: client.models.list())
    assert [model.id for model in listed.data] == ["chatgpt-image-latest", "dall-e-3", "gpt-image-1", MODEL]
    assert {model.object for model in listed.data} == {"model"}
    assert [model.id for model in listed.data if getattr(model, "shutdown_date", None)] == ["gpt-image-1"]
    found = caller.ask(lambda client: client.models.retrieve("gpt-image-1"))
    assert (found.id, found.owned_by, found.shutdown_date) == ("gpt-image-1", "fake", "2026-10-23")


def test_a_model_that_is_not_there_is_not_found(caller: Caller, gateway: Gateway, prompt: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        caller.ask(lambda client: client.models.retrieve("org/none"))
    assert caught.value.code == "model_not_found"
    gateway.begin()
    gateway.upstream.script("404-model")
    with pytest.raises(openai.NotFoundError) as caught:
        caller.ask(lambda client: client.images.generate(model="gone", prompt=prompt))
    assert caught.value.body == refusal("404-model")
    assert (gateway.calls, gateway.charges) == (1, 0)


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sk-wrong-0123456789", "pxy_" + "a" * 43])
def test_a_wrong_key_is_refused(caller: Caller, gateway: Gateway, prompt: str, key: str) -> None:
    for question in (
        lambda client: client.images.generate(model=MODEL, prompt=prompt),
        lambda client: client.images.edit(model=MODEL, prompt=prompt, image=picture_of("a duck")),
        lambda client: client.models.list(),
    ):
        with pytest.raises(openai.AuthenticationError) as caught:
            caller.ask(question, api_key=key)
        assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
        assert f" {caught.value.request_id} " in gateway.service.log
        assert "Incorrect API key provided." in caught.value.message
        assert key not in str(caught.value)
    assert gateway.calls == 0


@pytest.mark.parametrize("spec", ["moderation", "content-policy", "400"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_keeps_the_upstreams_message(
    caller: Caller, gateway: Gateway, prompt: str, spec: str, stream: bool
) -> None:
    gateway.upstream.script(spec)
    with pytest.raises(openai.BadRequestError) as caught:
        caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt, stream=stream))
    assert caught.value.body == refusal(spec)
    assert caught.value.response.json() == {"error": refusal(spec)}
    assert (caught.value.code, caught.value.type) == (refusal(spec)["code"], refusal(spec)["type"])
    assert (gateway.calls, gateway.charges) == (1, 0)


def test_the_services_own_refusals_have_the_same_form(caller: Caller, gateway: Gateway, prompt: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt, n=11))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "n")
    with pytest.raises(openai.BadRequestError) as caught:
        caller.ask(lambda client: client.images.edit(model=MODEL, prompt=prompt, image=b"no picture"))
    assert caught.value.param == "image.0"
    assert gateway.calls == 0


def test_a_retired_path_is_not_found(caller: Caller, gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(POST /v1/images/variations\)"):
        caller.ask(lambda client: client.post("/images/variations", body={}, cast_to=ImagesResponse))


def test_a_rate_limit_has_a_retry_delay(caller: Caller, gateway: Gateway, prompt: str) -> None:
    # Longer than the queue waits; the service remembers it by model.
    gateway.upstream.script("429 retry_after=1999")
    model = f"limited {prompt}"
    with pytest.raises(openai.RateLimitError) as caught:
        caller.ask(lambda client: client.images.generate(model=model, prompt=prompt), max_retries=0)
    assert caught.value.response.headers["retry-after"] == "1999"
    assert caught.value.body == refusal("429")
    assert (gateway.calls, gateway.charges) == (1, 0)


# --- retries ----------------------------------------------------------------------------------------------------


def test_a_rate_limit_that_passes_is_waited_for(caller: Caller, gateway: Gateway, prompt: str) -> None:
    # The service waits and tries again: the client learns nothing of it.
    gateway.upstream.script(*["429 retry_after_ms=1"] * 3)
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt))
    assert data_of(answer.data[0]) == picture_of(prompt)
    assert (gateway.calls, gateway.charges) == (4, 1)


def test_an_unpaid_failure_is_repeated(caller: Caller, gateway: Gateway, prompt: str) -> None:
    gateway.upstream.script("500")
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt))
    assert data_of(answer.data[0]) == picture_of(prompt)
    assert (gateway.calls, gateway.charges) == (2, 1)


@pytest.mark.parametrize("spec", ["504", "reset-before-headers", "reset-mid-body"])
def test_a_possibly_paid_request_is_not_repeated(caller: Caller, gateway: Gateway, prompt: str, spec: str) -> None:
    gateway.upstream.script(spec)
    with pytest.raises(openai.InternalServerError) as caught:
        caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt))
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert gateway.calls == 1


def test_a_possibly_paid_stream_is_not_repeated(caller: Caller, gateway: Gateway, prompt: str) -> None:
    gateway.upstream.script("stream partials=0 end=reset finished=0")
    with pytest.raises(openai.APIError) as caught:
        caller.watch(lambda client: client.images.generate(model=MODEL, prompt=prompt, stream=True))
    assert caught.value.body["code"] == "generator-connection-lost"
    assert gateway.detail(caught.value.body["guid"])["status"] == "unknown"
    assert (gateway.calls, gateway.charges) == (1, 1)


def test_a_client_that_loses_patience_gets_the_picture_of_its_first_try(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    gateway.hold_until_retried("held")
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt), timeout=SHORT_S)
    assert data_of(answer.data[0]) == picture_of(prompt)
    assert [detail["guid"] for detail in gateway.made_for(prompt)] == [answer.data[0].guid]
    assert gateway.calls == gateway.charges == 1


def test_a_client_that_loses_patience_with_several_pictures_gets_them_all(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    gateway.hold_until_retried("held")
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt, n=2), timeout=SHORT_S)
    assert [data_of(image) for image in answer.data] == [picture_of(prompt), picture_of(prompt, 1)]
    assert len(gateway.made_for(prompt)) == 2
    assert gateway.calls == gateway.charges == 1


def test_a_client_that_loses_patience_with_an_edit_gets_its_picture(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    gateway.hold_until_retried("held", path=EDITS)
    answer = caller.ask(
        lambda client: client.images.edit(
            model=MODEL, prompt=prompt, image=[picture_of("one"), io.BytesIO(picture_of("two"))]
        ),
        timeout=SHORT_S,
    )
    assert data_of(answer.data[0]) == picture_of(prompt)
    assert gateway.calls == gateway.charges == 1


def test_a_client_that_loses_patience_with_a_stream_gets_the_picture(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    gateway.hold_until_retried("held then=stream")
    events = caller.watch(
        lambda client: client.images.generate(model=MODEL, prompt=prompt, stream=True, partial_images=1),
        timeout=SHORT_S,
    )
    assert type(events[-1]) is ImageGenCompletedEvent
    assert data_of(events[-1]) == gateway.content(events[-1].guid) == picture_of(prompt)
    assert gateway.calls == gateway.charges == 1


def test_a_client_that_loses_patience_within_a_stream_finds_the_picture(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    """The SDK does not retry after it has received an event."""
    failed = threading.Event()
    gateway.hold(failed.is_set, "held then=stream after=1")
    with pytest.raises(openai.APITimeoutError):
        caller.watch(
            lambda client: client.images.generate(model=MODEL, prompt=prompt, stream=True, partial_images=1),
            timeout=SHORT_S,
        )
    failed.set()
    [detail] = gateway.made_for(prompt)
    assert gateway.content(detail["guid"]) == picture_of(prompt)
    assert gateway.calls == gateway.charges == 1


def test_a_retry_before_the_first_attempt_is_recorded_pays_nothing(
    caller: Caller, gateway: Gateway, prompt: str
) -> None:
    seen, held = gateway.tries(), threading.Event()

    def hold() -> None:
        with gateway.writes_held():
            held.set()
            deadline = Deadline("the client had come again")
            while gateway.tries() < seen + 2:
                deadline.wait()
            time.sleep(0.3)  # until the second attempt has found the first

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    answer = caller.ask(lambda client: client.images.generate(model=MODEL, prompt=prompt), timeout=SHORT_S)
    holder.join()
    assert data_of(answer.data[0]) == picture_of(prompt)
    assert [detail["guid"] for detail in gateway.made_for(prompt)] == [answer.data[0].guid]
    assert gateway.calls == gateway.charges == 1


def test_a_retry_of_an_unpaid_request_gets_its_own_picture(caller: Caller, gateway: Gateway, prompt: str) -> None:
    def generate(client: Any) -> Any:
        return client.images.generate(model=MODEL, prompt=prompt)

    first = caller.ask(generate)
    # The service waits and tries again: the client learns nothing of it.
    gateway.upstream.script(*["429 retry_after_ms=1"] * 3)
    second = caller.ask(generate)
    assert first.data[0].guid != second.data[0].guid
    assert gateway.charges == 2


def test_an_idempotency_key_is_honoured(caller: Caller, gateway: Gateway, prompt: str) -> None:
    def generate(client: Any, **options: Any) -> Any:
        return client.images.with_raw_response.generate(
            model=MODEL, prompt=prompt, extra_headers={"Idempotency-Key": "honoured"}, **options
        )

    first, second = caller.ask(generate), caller.ask(generate)
    assert first.parse().data[0].guid == second.parse().data[0].guid
    assert data_of(second.parse().data[0]) == picture_of(prompt)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        caller.ask(lambda client: generate(client, n=2))
    assert caught.value.code == "idempotency-key-reused"
    assert gateway.calls == gateway.charges == 1


def test_the_same_wish_a_second_time_is_another_picture(caller: Caller, gateway: Gateway, prompt: str) -> None:
    def generate(client: Any) -> Any:
        return client.images.generate(model=MODEL, prompt=prompt)

    first, second = caller.ask(generate), caller.ask(generate)
    assert first.data[0].guid != second.data[0].guid
    assert gateway.charges == 2
