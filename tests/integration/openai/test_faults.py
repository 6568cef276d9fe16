"""Failures of the upstream: the resulting error, its charges, the number of requests, and the message."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from pixyproxy.adapters.openai import image_generator
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.errors import (
    GeneratorConnectionLostError,
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorRequestError,
    GeneratorResponseError,
    GeneratorTimeoutError,
    GeneratorUnavailableError,
    PromptRejectedError,
)
from pixyproxy.domain.generation import GenerationRequest, GeneratorModel
from tests.fixtures.certificates import certificate
from tests.fixtures.generation import generated
from tests.fixtures.openai.nonsense import NONSENSE, bomb
from tests.fixtures.openai.refusals import REFUSALS
from tests.fixtures.openai.upstream import FakeUpstream, RefusingPort

KEY = "sk-test-0123456789abcdef"
TIMEOUT_S = 2.0
REQUEST = GenerationRequest(prompt="a rubber duck")


class Fault(NamedTuple):
    spec: str
    error: type[GeneratorError]
    requests: int = 1
    charges: int = 0
    retry_after_s: float | None = None
    words: str = ""
    """Part of the upstream's message that the caller must see."""


READABLE = {"error-in-200"}
"""Nonsense that says what is wrong."""

UNAVAILABLE = GeneratorUnavailableError
LOST = GeneratorConnectionLostError

FAULTS = (
    Fault("moderation", PromptRejectedError, words="rejected by the safety system. safety_violations=[violence]."),
    Fault("content-policy", PromptRejectedError, words="rejected as a result of our safety system."),
    Fault("400", GeneratorRequestError, words="Supported values are: '1024x1024'."),
    Fault("413", GeneratorRequestError, words="Request too large."),
    Fault("422", GeneratorRequestError, words="Unprocessable."),
    Fault("error status=400 body=plain_words", GeneratorRequestError, words="plain words"),
    Fault('error status=422 body={"detail":"no_such_size"}', GeneratorRequestError, words="no such size"),
    Fault('error status=400 body={"error":"not_like_this"}', GeneratorRequestError, words="not like this"),
    Fault("401", GeneratorCredentialsError),
    Fault("403", GeneratorCredentialsError),
    Fault("404-model", UNAVAILABLE),
    Fault("403-model", UNAVAILABLE),
    Fault("error status=404 content_type=text/html body=<h1>", UNAVAILABLE),
    Fault("402", GeneratorQuotaError),
    Fault("quota", GeneratorQuotaError),
    Fault("quota retry_after=1", GeneratorQuotaError),
    Fault("billing-limit", GeneratorQuotaError),
    Fault("429", GeneratorRateLimitedError, words="Rate limit reached for gpt-image-2."),
    Fault("429 retry_after_ms=10", GeneratorRateLimitedError, retry_after_s=0.01),
    Fault("429 retry_after=0", GeneratorRateLimitedError, retry_after_s=0.0),
    Fault("429 retry_after=60", GeneratorRateLimitedError, retry_after_s=60.0),
    Fault("429 retry_after=3", GeneratorRateLimitedError, retry_after_s=3.0),
    Fault("429 http_date=120", GeneratorRateLimitedError, retry_after_s=120.0),
    Fault("429 retry_after=soon", GeneratorRateLimitedError),
    Fault("500", UNAVAILABLE),
    Fault("500 retry_after=7", UNAVAILABLE, retry_after_s=7.0),
    Fault("error status=502 content_type=text/html body=<html>Bad_Gateway</html>", LOST),
    Fault("503", UNAVAILABLE),
    Fault("504", GeneratorTimeoutError),
    Fault("error status=524", GeneratorTimeoutError),
    Fault("error status=599", GeneratorTimeoutError),
    Fault("405", UNAVAILABLE),
    Fault("408", GeneratorTimeoutError),
    Fault("409", UNAVAILABLE),
    Fault("error huge=true", LOST),
    Fault("error huge=true status=429", GeneratorRateLimitedError),
    Fault("error-cut", LOST),
    Fault("error-cut status=400", GeneratorRequestError),
    Fault("error-echo", GeneratorRequestError, words="Bad REQUEST END forged"),
    *(Fault(f"redirect status={status}", UNAVAILABLE) for status in (301, 302, 303, 307, 308)),
    Fault("redirect status=304", UNAVAILABLE),
    Fault("reset-before-headers", LOST, charges=1),
    Fault("close-before-headers", LOST, charges=1),
    Fault("cut-headers", LOST, charges=1),
    Fault("garbage", LOST, charges=1),
    Fault("reset-mid-body", LOST, charges=1),
    Fault("hang", GeneratorTimeoutError, charges=1),
    Fault("hang-mid-body", GeneratorTimeoutError, charges=1),
    *(Fault(name, GeneratorResponseError, charges=1) for name in NONSENSE if name not in READABLE),
    Fault("error-in-200", UNAVAILABLE),
    Fault("zip-bomb", GeneratorResponseError, charges=1),
)  # fmt: skip


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def generator(upstream: FakeUpstream) -> AsyncIterator[OpenAIImageGenerator]:
    generator = new_generator(upstream.base_url)
    await generator.open()
    yield generator
    await generator.close()


def new_generator(base_url: str, timeout_s: float = TIMEOUT_S) -> OpenAIImageGenerator:
    return OpenAIImageGenerator(KEY, base_url, "gpt-image-2", timeout_s=timeout_s, retry_delays_s=(0.01, 0.02))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.spec)
async def test_fault(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.defaults["/v1/images/generations"] = fault.spec
    if fault.spec == "zip-bomb":
        bomb()  # takes longer than the time-out
    if fault.error is GeneratorTimeoutError:
        generator = new_generator(upstream.base_url, timeout_s=0.3)
        await generator.open()

    with pytest.raises(GeneratorError) as caught:
        await generated(generator, REQUEST)
    if fault.error is GeneratorTimeoutError:
        await generator.close()

    error = caught.value
    assert type(error) is fault.error
    assert error.retry_after_s == fault.retry_after_s
    assert len(upstream.requests) == fault.requests
    assert len(upstream.charges) == fault.charges
    assert error.may_have_been_paid == (fault.error in (LOST, GeneratorTimeoutError, GeneratorResponseError))
    assert error.message.isprintable()
    assert fault.words in error.message
    assert len(error.message) <= 1100
    for text in (error.message, caplog.text):
        assert KEY not in text
        assert KEY[:12] not in text
        assert "Bearer" not in text


@pytest.mark.parametrize(
    "spec", ["moderation", "content-policy", "400", "422", "429 retry_after=60", "quota", "500", "503"]
)
async def test_a_refusal_carries_the_upstreams_document(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    with pytest.raises(GeneratorError) as caught:
        await generated(generator, REQUEST)
    _, message, kind, code = REFUSALS[spec.partition(" ")[0]]
    assert caught.value.document == {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    "spec",
    ["401", "403", "404-model", "403-model", "error-echo", "error status=400 body=plain_words", "error-cut",
     "error huge=true", "reset-before-headers", "html", "error status=404"],
)  # fmt: skip
async def test_an_error_for_the_operator_carries_no_document(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec)
    with pytest.raises(GeneratorError) as caught:
        await generated(generator, REQUEST)
    assert caught.value.document is None


@pytest.mark.parametrize("name", sorted(NONSENSE.keys() - READABLE))
async def test_an_invalid_response_is_kept(upstream: FakeUpstream, generator: OpenAIImageGenerator, name: str) -> None:
    upstream.script(name)
    with pytest.raises(GeneratorResponseError) as caught:
        await generated(generator, REQUEST)
    assert NONSENSE[name] in (caught.value.raw or b"")


@pytest.mark.parametrize("spec", ["401", "403", "quota", "billing-limit", "402"])
async def test_errors_for_the_operator_are_logged(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(spec)
    with pytest.raises(GeneratorError) as caught:
        await generated(generator, REQUEST)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name.startswith("pixyproxy.")
    assert KEY not in record.getMessage()
    assert "example.com" not in caught.value.message  # the upstream's words about credentials stay inside


async def test_an_unknown_requested_model_is_a_request_error(
    upstream: FakeUpstream, generator: OpenAIImageGenerator
) -> None:
    for spec in ("404-model", "403-model"):
        upstream.script(spec)
        with pytest.raises(GeneratorRequestError, match="'gone'"):
            await generated(generator, GenerationRequest(prompt="a", model="gone"))


async def test_an_unknown_configured_model_is_logged(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script("404-model")
    with pytest.raises(GeneratorUnavailableError) as caught:
        await generated(generator, REQUEST)
    assert "gpt-image-2" not in caught.value.message
    assert "PIXYPROXY_OPENAI_MODEL" in caplog.text


@pytest.mark.parametrize("spec", ["429", "429 retry_after_ms=5", "429 retry_after=0"])
async def test_no_call_is_repeated_after_a_rate_limit(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec, "ok")
    with pytest.raises(GeneratorRateLimitedError):
        await generated(generator, REQUEST)
    assert (len(upstream.requests), len(upstream.charges)) == (1, 0)
    assert await generated(generator, REQUEST)
    assert (len(upstream.requests), len(upstream.charges)) == (2, 1)


async def test_a_redirect_is_not_followed(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    with FakeUpstream() as elsewhere:
        for status in (301, 302, 303, 307, 308):
            upstream.script(f"redirect status={status} to={elsewhere.base_url}/images/generations")
            with pytest.raises(GeneratorUnavailableError):
                await generated(generator, REQUEST)
        assert elsewhere.requests == []
    assert upstream.charges == []


async def test_a_refused_connection(caplog: pytest.LogCaptureFixture) -> None:
    with RefusingPort() as base_url:
        generator = new_generator(base_url)
        await generator.open()
        with pytest.raises(GeneratorUnavailableError) as caught:
            await generated(generator, REQUEST)
        await generator.close()
    assert not caught.value.may_have_been_paid
    assert len([record for record in caplog.records if "ConnectError" in record.getMessage()]) == 3


async def test_a_call_is_repeated_when_the_server_returns(upstream: FakeUpstream) -> None:
    generator = OpenAIImageGenerator(KEY, upstream.base_url, "m", retry_delays_s=(0.01, 0.02))
    await generator.open()
    upstream.stop()
    with pytest.raises(GeneratorUnavailableError):
        await generated(generator, REQUEST)
    upstream.start()
    assert await generated(generator, REQUEST)
    await generator.close()


async def test_a_name_that_does_not_resolve() -> None:
    generator = new_generator("http://no-such-host.invalid/v1")
    await generator.open()
    with pytest.raises(GeneratorUnavailableError):
        await generated(generator, REQUEST)
    await generator.close()


async def answer_in_plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("with_certificate", [False, True], ids=["no TLS", "certificate of nobody"])
async def test_a_failed_tls_handshake_is_not_repeated(
    with_certificate: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = certificate(tmp_path)[1] if with_certificate else None
    server = await asyncio.start_server(answer_in_plain_text, "127.0.0.1", 0, ssl=context)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the failed handshake
    generator = new_generator(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    await generator.open()
    with pytest.raises(GeneratorUnavailableError):
        await generated(generator, REQUEST)
    await generator.close()
    server.close()
    [record] = [record for record in caplog.records if record.name.startswith("pixyproxy.")]
    assert "SSL" in record.getMessage()


async def test_a_connection_that_is_never_accepted() -> None:
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for client in (first, second):  # the backlog is full: the next SYN is dropped
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        generator = OpenAIImageGenerator(KEY, base_url, "m", timeout_s=0.6, retry_delays_s=())
        await generator.open()
        with pytest.raises(GeneratorUnavailableError):
            await generated(generator, REQUEST)
        await generator.close()


@pytest.mark.parametrize("base_url", ["ftp://host/v1", "no address", "http://", "http://user:secret@host/v1",
                                      "http://host/v1/images/generations", "http://host/v1/images/edits/",
                                      "http://host/v1/chat/completions"])  # fmt: skip
async def test_an_invalid_base_url(base_url: str) -> None:
    with pytest.raises(GeneratorUnavailableError, match="OPENAI_BASE_URL") as caught:
        await OpenAIImageGenerator(KEY, base_url, "m").open()
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("api_key", ["", "sk-with\nnewline", "sk-ünicode", "Bearer sk-x", "sk-x # mine", " sk-x"])
async def test_an_invalid_key(api_key: str) -> None:
    with pytest.raises(GeneratorCredentialsError, match="OPENAI_API_KEY"):
        await OpenAIImageGenerator(api_key, None, "m").open()


@pytest.mark.parametrize(
    "options", [{"size": float("nan")}, {"size": object()}, {"size": "\ud800"}], ids=["nan", "object", "surrogate"]
)
async def test_a_request_that_json_cannot_express_is_not_sent(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, options: dict[str, object]
) -> None:
    with pytest.raises(GeneratorRequestError):
        await generated(generator, GenerationRequest(prompt="a", options=options))
    assert upstream.requests == []


async def test_a_closed_generator_is_unavailable(generator: OpenAIImageGenerator) -> None:
    await generator.close()
    with pytest.raises(GeneratorUnavailableError):
        await generated(generator, REQUEST)
    with pytest.raises(GeneratorUnavailableError):
        await generator.check()
    with pytest.raises(GeneratorUnavailableError):
        await generator.models()


@pytest.mark.parametrize("reopened", [False, True], ids=["closed", "reopened"])
async def test_closing_during_the_delay_of_a_repeat_raises_the_refusal(reopened: bool) -> None:
    with RefusingPort() as base_url:
        generator = OpenAIImageGenerator(KEY, base_url, "m", retry_delays_s=(0.5,))
        await generator.open()
        task = asyncio.create_task(generated(generator, REQUEST))
        await asyncio.sleep(0.2)  # for the connection to be refused
        await generator.close()
        if reopened:
            await generator.open()
        with pytest.raises(GeneratorUnavailableError):
            await task
        await generator.close()


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("401", GeneratorCredentialsError),
        ("403", GeneratorCredentialsError),
        ("429", GeneratorRateLimitedError),
        ("quota", GeneratorQuotaError),
        ("500", GeneratorUnavailableError),
        ("redirect to=/v1/elsewhere", GeneratorUnavailableError),
        ("reset-before-headers", GeneratorUnavailableError),
        ("garbage", GeneratorUnavailableError),
    ],
)
async def test_check_and_models_raise_the_reason(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str, error: type[GeneratorError]
) -> None:
    upstream.defaults["/v1/models"] = spec
    for call in (generator.check, generator.models):
        with pytest.raises(error) as caught:
            await call()
        assert type(caught.value) is error
        assert KEY[:12] not in caught.value.message
    assert upstream.charges == []


async def test_check_of_an_unreachable_server() -> None:
    with RefusingPort() as base_url:
        generator = new_generator(base_url)
        await generator.open()
        for call in (generator.check, generator.models):
            with pytest.raises(GeneratorUnavailableError, match=r"127\.0\.0\.1.*cannot be reached"):
                await call()
        await generator.close()


@pytest.mark.parametrize("spec", ["hang", "error status=500"])
async def test_check_times_out(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_generator, "CHECK_S", 0.2)
    upstream.defaults["/v1/models"] = spec
    async with asyncio.timeout(9):
        for call in (generator.check, generator.models):
            with pytest.raises(GeneratorUnavailableError):
                await call()


@pytest.mark.parametrize("spec", ["models", "error status=404", "405", "error status=200 body={}"])
async def test_check_of_a_reachable_server(upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str) -> None:
    upstream.script(spec, path="/v1/models")
    words = await generator.check()
    assert words.startswith(f"openai at 127.0.0.1:{upstream.port}, model gpt-image-2")


async def test_only_image_models_are_listed(upstream: FakeUpstream, generator: OpenAIImageGenerator) -> None:
    upstream.script("models shutdown=2027-01-31", path="/v1/models")
    models = {model.id: model for model in await generator.models()}
    assert list(models) == ["chatgpt-image-latest", "dall-e-3", "gpt-image-1", "gpt-image-2"]
    assert models["gpt-image-2"] == GeneratorModel(
        "gpt-image-2", datetime(2026, 4, 21, tzinfo=UTC), "fake", "2027-01-31", is_default=True
    )
    assert (models["gpt-image-1"].shutdown_date, models["dall-e-3"].shutdown_date) == ("2026-10-23", None)
    [request] = upstream.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("spec", ["error status=404", "405"])
async def test_a_server_that_lists_no_models_offers_the_configured_one(
    upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str
) -> None:
    upstream.script(spec, path="/v1/models")
    assert await generator.models() == (GeneratorModel("gpt-image-2", is_default=True),)


@pytest.mark.parametrize("spec", ["error status=200 body={}", "html", "deep-json", "empty-body", "huge", "zip-bomb"])
async def test_an_invalid_list_of_models(upstream: FakeUpstream, generator: OpenAIImageGenerator, spec: str) -> None:
    upstream.script(spec, path="/v1/models")
    with pytest.raises(GeneratorUnavailableError) as caught:
        await generator.models()
    assert caught.value.message.isprintable()
