"""Generations of OpenAI's images API: responses, errors and retries of its SDK."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from pixyproxy.domain import errors
from pixyproxy.domain.generation import GeneratedImage
from pixyproxy.domain.image import Status
from tests.fixtures.core import PNG
from tests.fixtures.http_app import ALICE, BOB, HttpApp, basic, http_app

GENERATIONS = "/v1/images/generations"
RATE = "rate_limit_exceeded"
USAGE = {"total_tokens": 1068, "input_tokens": 12, "output_tokens": 1056, "input_tokens_details": {"text_tokens": 12}}
FREE_USAGE = USAGE | {"cost": 0.0}


@pytest.fixture
async def app() -> AsyncIterator[HttpApp]:
    async with http_app() as app:
        app.generator.outcome = GeneratedImage(PNG, model="m-1", usage=USAGE, reported={"quality": "high"})
        yield app


async def generate(app: HttpApp, *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return await app.client.post(GENERATIONS, json={"prompt": "a duck"} | body, auth=basic(ALICE), headers=headers)


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    return error


async def test_a_picture_is_returned_in_base64_and_recorded(app: HttpApp) -> None:
    response = await generate(app, model="wanted", size="640x480", tags=["Duck"])
    assert response.status_code == 200
    body = response.json()
    [entry] = body["data"]
    assert base64.b64decode(entry["b64_json"]) == PNG
    assert (body["size"], body["output_format"], body["quality"], body["usage"]) == (
        "640x480",
        "png",
        "high",
        FREE_USAGE,
    )
    assert "background" not in body
    detail = (await app.client.get(f"/image/{entry['guid']}")).json()
    assert (detail["prompt"], detail["author"], detail["tags"]) == ("a duck", "alice", ["duck"])
    assert (detail["model"], detail["parameters"], detail["usage"]) == ("m-1", {"size": "640x480"}, USAGE)
    [request] = app.generator.requests
    assert (request.model, request.options, request.n) == ("wanted", {"size": "640x480"}, 1)


async def test_a_picture_that_cannot_be_read_is_an_error_that_names_it(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise errors.BlobMissingError("gone")

    guid = (await generate(app, headers={"Idempotency-Key": "k-1"})).json()["data"][0]["guid"]
    for method in ("read", "location"):
        with monkeypatch.context() as broken:
            broken.setattr(app.blobs, method, fail)
            replay = await generate(app, headers={"Idempotency-Key": "k-1"})
        assert replay.status_code == 500
        assert replay.headers["x-should-retry"] == "false"
        assert error_of(replay)["guid"] == guid


async def test_unknown_parameters_are_passed_on_and_recorded(app: HttpApp) -> None:
    options = {"moderation": "low", "svg": {"model": "x", "reasoning": {"effort": "low"}}, "tomorrow": [1, None]}
    response = await generate(app, **options, size=None, user="someone@example.org", safety_identifier="s-1")
    detail = (await app.client.get(f"/image/{response.json()['data'][0]['guid']}")).json()
    assert detail["parameters"] == options
    assert app.generator.requests[0].options == {
        **options,
        "user": "someone@example.org",
        "safety_identifier": "s-1",
    }


async def test_several_pictures_have_their_own_records_and_share_the_usage(app: HttpApp) -> None:
    pictures = [PNG + bytes([number]) for number in range(3)]
    shares = [{"total_tokens": share} for share in (4, 3, 3)]
    app.generator.outcome = tuple(
        GeneratedImage(data, usage=usage, revised_prompt=f"{usage}")
        for data, usage in zip(pictures, shares, strict=True)
    )
    body = (await generate(app, n=3)).json()
    assert [base64.b64decode(entry["b64_json"]) for entry in body["data"]] == pictures
    assert body["usage"] == {"total_tokens": 10, "cost": 0.0}
    assert len({entry["guid"] for entry in body["data"]}) == 3
    for entry, usage in zip(body["data"], shares, strict=True):
        detail = (await app.client.get(f"/image/{entry['guid']}")).json()
        assert (detail["usage"], detail["parameters"]) == (usage, {"n": 3})
        assert entry["revised_prompt"] == detail["revised_prompt"]
    assert [request.n for request in app.generator.requests] == [3]


async def test_a_number_of_pictures_may_have_a_zero_fraction(app: HttpApp) -> None:
    assert (await generate(app, n=2.0)).status_code == 200
    assert [request.n for request in app.generator.requests] == [2]
    assert (await generate(app, n=1.5)).status_code == 400


async def test_fewer_pictures_than_requested_are_returned_and_the_others_fail(app: HttpApp) -> None:
    app.generator.outcome = (GeneratedImage(PNG), GeneratedImage(b"no picture"))
    body = (await generate(app, n=3)).json()
    assert len(body["data"]) == 1
    failed = await app.client.get("/image?status=unknown", auth=basic(ALICE))
    assert [image["error"]["code"] for image in failed.json()] == ["generator-answer"] * 2
    assert [data for _, data, _ in app.blobs.aside] == [b"no picture"]


async def test_surplus_pictures_are_rescued(app: HttpApp) -> None:
    app.generator.outcome = (GeneratedImage(PNG), GeneratedImage(PNG + b"2"))
    assert len((await generate(app)).json()["data"]) == 1
    assert [data for _, data, _ in app.blobs.aside] == [PNG + b"2"]


async def test_the_address_of_a_public_picture_is_permanent(app: HttpApp) -> None:
    [entry] = (await generate(app, response_format="url")).json()["data"]
    assert "b64_json" not in entry
    name = f"a-duck-{entry['guid'][:8]}.png"
    assert entry["url"] == f"http://test.example/image/{entry['guid']}/content/{name}"
    assert (await app.client.get(entry["url"])).content == PNG


async def test_the_address_of_a_private_picture_is_signed_and_expires(app: HttpApp) -> None:
    [entry] = (await generate(app, response_format="url", visibility="private")).json()["data"]
    url = httpx.URL(entry["url"])
    assert (await app.client.get(url)).content == PNG
    assert (await app.client.get(url, auth=basic(BOB))).content == PNG
    [other] = (await generate(app, visibility="private")).json()["data"]
    for wrong in (
        url.copy_remove_param("signature"),
        url.copy_set_param("signature", "A" * 22),
        url.copy_set_param("expires", str(int(url.params["expires"]) + 1)),
        url.copy_set_param("expires", "²"),
        url.copy_with(path=f"/image/{other['guid']}/content"),
        url.copy_with(path=f"/image/{entry['guid']}"),
    ):
        assert (await app.client.get(wrong)).status_code == 404
    clock: Any = app.container.clock()
    clock.advance(timedelta(hours=25))
    assert (await app.client.get(url)).status_code == 404
    assert (await app.client.get(url, auth=basic(ALICE))).status_code == 200


async def test_an_address_ends_in_the_file_name_of_any_script(app: HttpApp) -> None:
    [entry] = (await generate(app, response_format="url", filename="ente ü? #1%.png")).json()["data"]
    guid = entry["guid"]
    tail = "/content/ente%20%C3%BC%3F%20%231%25.png"
    assert entry["url"] == f"http://test.example/image/{guid}{tail}"
    assert (await app.client.get(f"/image/{guid}")).json()["content_url"] == f"/image/{guid}{tail}"
    for name in (tail, "/content/anything", "/content/", "/content", "/content/ente.png/"):
        assert (await app.client.get(f"/image/{guid}{name}")).content == PNG
    assert (await app.client.get(f"/image/{guid}/content/a/b")).status_code == 404
    private = (await generate(app, visibility="private")).json()["data"][0]["guid"]
    assert (await app.client.get(f"/image/{private}/content/a.png")).status_code == 404
    assert (await app.client.post(f"/image/{guid}/content/a.png")).status_code == 405


@pytest.mark.parametrize(
    ("setting", "body", "members"),
    [
        ("", {}, "b64_json"),
        ("", {"model": "gpt-image-2"}, "b64_json"),
        ("", {"model": "dall-e-3"}, "url"),
        ("", {"model": "openai/DALL-E-2"}, "url"),
        ("", {"model": "dall-e-3", "response_format": "b64_json"}, "b64_json"),
        ("", {"model": "gpt-image-2", "response_format": "url"}, "url"),
        ("b64_json", {"model": "dall-e-3"}, "b64_json"),
        ("url", {}, "url"),
        ("url", {"response_format": "b64_json"}, "b64_json"),
        ("both", {"model": "dall-e-3"}, "url b64_json"),
        ("both", {"response_format": "url"}, "url"),
    ],
)
async def test_a_response_holds_what_is_asked_for_or_configured(
    setting: str, body: dict[str, str], members: str
) -> None:
    async with http_app(**{"PIXYPROXY_RESPONSE_FORMAT": setting} if setting else {}) as app:
        response = await generate(app, n=2, **body)
        for entry in response.json()["data"]:
            assert list(entry) == ["guid", *members.split()]
            if "url" in entry:
                assert (await app.client.get(entry["url"])).content == PNG
            if "b64_json" in entry:
                assert base64.b64decode(entry["b64_json"]) == PNG
        form = await app.client.post("/v1/images/edits", files={"image": PNG}, data={"prompt": "x", **body})
        assert list(form.json()["data"][0]) == ["guid", *members.split()]


async def test_the_model_that_was_configured_decides_if_the_request_names_none(app: HttpApp) -> None:
    app.generator.outcome = GeneratedImage(PNG, model="dall-e-3")
    assert "url" in (await generate(app)).json()["data"][0]


async def test_every_address_is_signed_if_anonymous_callers_may_not_read() -> None:
    async with http_app(PIXYPROXY_ANONYMOUS="none") as app:
        [entry] = (await generate(app, response_format="url")).json()["data"]
        assert (await app.client.get(entry["url"])).content == PNG
        assert (await app.client.get(f"/image/{entry['guid']}/content")).status_code == 401


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"prompt": ""}, "prompt", "at least 1"),
        ({"prompt": None}, "prompt", "string"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 11}, "n", "less than or equal to 10"),
        ({"n": "2"}, "n", "integer"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"response_format": "jpeg"}, "response_format", "b64_json, url"),
        ({"visibility": "secret"}, "visibility", "public"),
    ],
)
async def test_invalid_input_is_described_in_openais_envelope(
    app: HttpApp, body: dict[str, Any], param: str, words: str
) -> None:
    response = await generate(app, **body)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, "invalid_value")
    assert words in error["message"]
    assert app.generator.requests == []


async def test_an_empty_field_is_one_that_is_not_set(app: HttpApp) -> None:
    empty = (
        "model",
        "n",
        "size",
        "quality",
        "style",
        "user",
        "background",
        "output_format",
        "response_format",
        "stream",
    )
    response = await generate(app, **dict.fromkeys(empty, ""), image=[], mask="", seed="")
    assert (response.status_code, app.generator.requests[-1].options) == (200, {"seed": ""})
    assert (app.generator.requests[-1].model, app.generator.requests[-1].n) == (None, 1)


@pytest.mark.parametrize(
    ("raw", "content_type", "status"),
    [(b"[]", "application/json", 400), (b"{", "application/json", 400), (b"{}", "text/plain", 415)],
)
async def test_a_body_that_is_no_object_is_refused(app: HttpApp, raw: bytes, content_type: str, status: int) -> None:
    response = await app.client.post(GENERATIONS, content=raw, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "should_retry", "retry_after"),
    [
        (errors.PromptRejectedError("no"), 400, "image_generation_user_error", "moderation_blocked", "false", None),
        (errors.GeneratorRequestError("no"), 400, "invalid_request_error", "generator-request-rejected", "false", None),
        (errors.GeneratorRateLimitedError("no", retry_after_s=7), 429, "rate_limit_error", RATE, None, "7"),
        (errors.GeneratorRateLimitedError("no"), 429, "rate_limit_error", RATE, None, "10"),
        (errors.GeneratorQuotaError("no"), 429, "insufficient_quota", "insufficient_quota", "false", "10"),
        (errors.GeneratorCredentialsError("no"), 502, "server_error", "generator-credentials", None, None),
        (errors.GeneratorUnavailableError("no"), 502, "server_error", "generator-unavailable", None, None),
        (errors.GeneratorConnectionLostError("no"), 502, "server_error", "generator-connection-lost", "false", None),
        (errors.GeneratorTimeoutError("no"), 504, "server_error", "generator-timeout", "false", None),
        (errors.GeneratorResponseError("no", raw=b"x"), 502, "server_error", "generator-answer", "false", None),
    ],
)  # fmt: skip
async def test_upstream_errors_have_their_status_and_retry_headers(
    app: HttpApp,
    error: errors.GeneratorError,
    status: int,
    kind: str,
    code: str,
    should_retry: str | None,
    retry_after: str | None,
) -> None:
    app.generator.outcome = error
    response = await generate(app)
    assert response.status_code == status
    body = error_of(response)
    assert (body["type"], body["code"], body["message"]) == (kind, code, error.detail)
    assert ("Idempotency-Key" in body["message"]) == error.may_have_been_paid
    assert response.headers.get("x-should-retry") == should_retry
    assert response.headers.get("retry-after") == retry_after


@pytest.mark.parametrize(("code", "status"), [("moderation_blocked", 400), ("model_not_found", 404)])
async def test_the_generators_own_error_document_is_passed_on(app: HttpApp, code: str, status: int) -> None:
    document = {"error": {"message": "words", "type": "t", "param": None, "code": code, "more": {"a": 1}}}
    refusal = errors.GeneratorRequestError("words")
    refusal.document = document
    app.generator.outcome = refusal
    response = await generate(app)
    assert (response.status_code, response.json()) == (status, document)


async def test_a_paid_picture_that_cannot_be_stored_must_not_be_retried(app: HttpApp) -> None:
    app.blobs.failures["put"] = errors.BlobStoreFullError("No space is left.")
    response = await generate(app)
    assert (response.status_code, response.headers["x-should-retry"]) == (507, "false")
    assert error_of(response)["guid"]
    app.blobs.failures = {"check_writable": errors.BlobStoreError("away")}
    before = await generate(app, prompt="another")
    assert (before.status_code, before.headers["retry-after"]) == (503, "5")
    assert "x-should-retry" not in before.headers


async def test_an_unexpected_error_is_not_described(app: HttpApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret of the service")

    monkeypatch.setattr(app.container.image_service(), "generate", fail)
    response = await generate(app)
    assert (response.status_code, error_of(response)["type"]) == (500, "server_error")
    assert "secret" not in response.text


@pytest.mark.parametrize("authorization", ["Bearer sk-wrong", "Basic Zm9vOmJhcg==", "Digest x", "Bearer"])
async def test_a_wrong_key_is_refused_with_openais_message(app: HttpApp, authorization: str) -> None:
    response = await app.client.post(GENERATIONS, json={"prompt": "x"}, headers={"Authorization": authorization})
    assert response.status_code == 401
    error = error_of(response)
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "sk-wrong" not in response.text
    assert "Basic" in response.headers["www-authenticate"]
    assert "Bearer" in response.headers["www-authenticate"]


async def test_anonymous_callers_spend_no_money() -> None:
    async with http_app(PIXYPROXY_ANONYMOUS="read") as app:
        response = await app.client.post(GENERATIONS, json={"prompt": "x"})
        assert (response.status_code, error_of(response)["code"]) == (401, "invalid_api_key")
        assert (await app.client.get("/v1/models")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/images/variations", 404, "Invalid URL (POST /v1/images/variations)"),
        ("GET", "/v1", 404, "Invalid URL (GET /v1)"),
        ("POST", "/v1/chat/completions", 404, "Invalid URL (POST /v1/chat/completions)"),
        ("GET", "/v1/images/generations", 405, "Not allowed to GET on /v1/images/generations: use POST."),
    ],
)
async def test_other_paths_are_refused_with_openais_message(
    app: HttpApp, method: str, path: str, status: int, message: str
) -> None:
    response = await app.client.request(method, path)
    assert (response.status_code, error_of(response)["message"]) == (status, message)
    assert response.headers.get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/images/generations", "/v1/images/generations"),
        ("/images/edits/", "/v1/images/edits"),
        ("/v1//images/generations", "/v1/images/generations"),
        ("/v1/v1/images/generations", "/v1/images/generations"),
        ("/openai/v1/images/edits", "/v1/images/edits"),
        ("/openai/deployments/dall-e-3/images/generations?api-version=2024-02-01", "/v1/images/generations"),
        ("/api/v1/images//generations", "/v1/images/generations"),
        ("/V1/Images/Generations", "/v1/images/generations"),
        ("/v1/images/edit", "/v1/images/edits"),
        ("/models", "/v1/models"),
        ("/openai/models/dall-e-3", "/v1/models"),
        ("/v1/v1/models", "/v1/models"),
    ],
)
async def test_a_wrong_base_url_is_answered_with_the_right_path(app: HttpApp, path: str, right: str) -> None:
    for method in ("POST", "GET"):
        response = await app.client.request(method, path)
        message = error_of(response)["message"]
        assert (response.status_code, f"Use {right}: the base URL of a client ends in /v1." in message) == (404, True)


async def test_an_idempotency_key_replays_all_pictures_in_either_form(app: HttpApp) -> None:
    first = await generate(app, headers={"Idempotency-Key": "k"}, n=2)
    second = await generate(app, headers={"Idempotency-Key": "k"}, n=2, response_format="url")
    assert [entry["guid"] for entry in first.json()["data"]] == [entry["guid"] for entry in second.json()["data"]]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    other = await generate(app, headers={"Idempotency-Key": "k"}, n=3)
    assert (other.status_code, error_of(other)["code"]) == (422, "idempotency-key-reused")
    assert len(app.generator.requests) == 1


RETRY = {"X-Stainless-Retry-Count": "1"}


async def test_a_retry_of_the_sdk_gets_the_first_picture(app: HttpApp) -> None:
    first = await generate(app, headers={"X-Stainless-Retry-Count": "0"})
    again = await generate(app, headers=RETRY)
    assert again.json()["data"][0]["guid"] == first.json()["data"][0]["guid"]
    assert again.headers["idempotent-replayed"] == "true"
    assert len(app.generator.requests) == 1


@pytest.mark.parametrize("count", ["0", "", "-1", "x", "²"])
async def test_an_equal_request_that_is_no_retry_generates_another_picture(app: HttpApp, count: str) -> None:
    await generate(app)
    await app.client.post(
        GENERATIONS,
        json={"prompt": "a duck"},
        auth=basic(ALICE),
        headers=[(b"x-stainless-retry-count", count.encode("latin-1"))],
    )
    assert len(app.generator.requests) == 2


async def test_a_retry_by_another_caller_with_another_body_or_too_late_generates_another_picture(app: HttpApp) -> None:
    await generate(app)
    await app.client.post(GENERATIONS, json={"prompt": "a duck"}, auth=basic(BOB), headers=RETRY)
    await generate(app, headers=RETRY, size="1x1")
    clock: Any = app.container.clock()
    clock.advance(timedelta(minutes=16))
    await generate(app, headers=RETRY)
    assert len(app.generator.requests) == 4


@pytest.mark.parametrize(
    ("error", "calls"),
    [(errors.GeneratorUnavailableError("away"), 2), (errors.GeneratorTimeoutError("slow"), 1)],
)
async def test_a_retry_calls_the_upstream_only_if_nothing_was_paid(
    app: HttpApp, error: errors.GeneratorError, calls: int
) -> None:
    app.generator.outcome = error
    await generate(app)
    await generate(app, headers=RETRY)
    assert len(app.generator.requests) == calls


async def test_a_paid_picture_that_cannot_be_read_must_not_be_retried(app: HttpApp) -> None:
    [entry] = (await generate(app, headers={"Idempotency-Key": "k"})).json()["data"]
    await app.blobs.delete(entry["guid"])
    response = await generate(app, headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.headers["x-should-retry"]) == (500, "false")
    assert error_of(response)["guid"] == entry["guid"]
    assert (await app.container.image_repository().get(entry["guid"])).status is Status.READY


async def test_models_are_listed_and_retrieved(app: HttpApp) -> None:
    listed = (await app.client.get("/v1/models")).json()
    assert listed == {
        "object": "list",
        "data": [{"id": "scripted-1", "object": "model", "created": 0, "owned_by": "unknown"}],
    }
    assert (await app.client.get("/v1/models/scripted-1/")).json() == listed["data"][0]
    missing = await app.client.get("/v1/models/org/none")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")
    assert json.dumps("org/none")[1:-1] in error_of(missing)["message"]


@pytest.mark.parametrize(
    "option",
    [r'"\ud800"', '{"a": ["\\udfff"]}', "1e999", '{"a": -1e999}', f'"{"x" * 70_000}"'],
    ids=lambda option: option[:12],
)
async def test_options_that_json_cannot_hold_are_refused(app: HttpApp, option: str) -> None:
    body = f'{{"prompt": "a duck", "tomorrow": {option}}}'
    response = await app.client.post(GENERATIONS, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, error_of(response)["param"]) == (400, "tomorrow")
    assert app.generator.requests == []


async def test_an_error_with_one_picture_does_not_lose_the_others(
    app: HttpApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.generator.outcome = (GeneratedImage(PNG + b"1"), GeneratedImage(PNG + b"2"))
    put = app.blobs.put

    async def stumble(guid: str, data: bytes, sidecar: Any) -> None:
        if data.endswith(b"1"):
            raise RuntimeError("a fault of our own")
        await put(guid, data, sidecar)

    monkeypatch.setattr(app.blobs, "put", stumble)
    [entry] = (await generate(app, n=2)).json()["data"]
    assert base64.b64decode(entry["b64_json"]) == PNG + b"2"
    assert [data for _, data, _ in app.blobs.aside] == [PNG + b"1"]
    [lost] = (await app.client.get("/image?status=unknown", auth=basic(ALICE))).json()
    assert lost["error"]["code"] == "generation-interrupted"


async def test_a_replay_of_a_picture_that_could_not_be_stored_must_not_be_retried(app: HttpApp) -> None:
    app.blobs.failures["put"] = errors.BlobStoreError("away")
    for _ in range(2):
        response = await generate(app, headers={"Idempotency-Key": "k"})
        assert (response.status_code, response.headers["x-should-retry"]) == (503, "false")
    assert len(app.generator.requests) == 1
