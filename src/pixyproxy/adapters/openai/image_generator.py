"""The generator for OpenAI's images API: one call is one request."""

import asyncio
import logging
import random
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field

import httpx2

from pixyproxy.adapters.openai.admission import ByteBudget, Permit
from pixyproxy.adapters.openai.error_translation import (
    FAILURES,
    DocumentRefusal,
    Refusal,
    RequestNotSentError,
    translate,
)
from pixyproxy.adapters.openai.models import MAX_LIST_BYTES, read_models
from pixyproxy.adapters.openai.picture_fetcher import PictureFetcher, PictureHostRefusedError
from pixyproxy.adapters.openai.picture_hosts import PictureHost
from pixyproxy.adapters.openai.reading.document import read_bare
from pixyproxy.adapters.openai.reading.picture_finder import ReceivedPicture
from pixyproxy.adapters.openai.reading.response_reader import ResponseReader
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse, read_body
from pixyproxy.adapters.openai.request import EDITS, GENERATIONS, write_request
from pixyproxy.adapters.openai.upstream_client import UpstreamClient
from pixyproxy.domain.errors import (
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorResponseError,
    GeneratorUnavailableError,
)
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel, PartialImage
from pixyproxy.ports.image_generator import ImageGenerator

log = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://api.openai.com/v1"
CHECK_S = 10.0
_RIGHT_ADDRESS = "OPENAI_BASE_URL must be the address before /images/generations, often one that ends in /v1."
MARGIN_S = 0.5
"""Seconds by which this adapter ends before its caller's deadline, which would lose what was received."""


@dataclass(slots=True)
class _Resources:
    upstream: UpstreamClient
    fetcher: PictureFetcher
    executor: ThreadPoolExecutor
    budget: ByteBudget = field(default_factory=ByteBudget)
    responses: set[UpstreamResponse] = field(default_factory=set)
    refused_hosts: dict[str, str] = field(default_factory=dict)


class OpenAIImageGenerator(ImageGenerator):
    """Generator for OpenAI or a server with its images API (`POST {base_url}/images/generations`, `…/edits`).

    `model` is sent if a request names none. `timeout_s` bounds a whole call, in seconds. Pictures may be downloaded
    from the upstream and from `picture_hosts`. `retry_delays_s` are the seconds before each repeat of a call that
    cannot have been billed, if the upstream names no delay. `trace_fields` returns fields by which it may join a trace.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None,
        model: str,
        *,
        timeout_s: float = 300.0,
        picture_hosts: tuple[PictureHost, ...] = (),
        retry_delays_s: tuple[float, ...] = (0.5, 1.0),
        trace_fields: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url or DEFAULT_BASE_URL
        self._model = model
        self._timeout_s = timeout_s
        self._picture_hosts = picture_hosts
        self._retry_delays_s = retry_delays_s
        self._trace_fields = trace_fields
        self._resources: _Resources | None = None

    @property
    def name(self) -> str:
        return "openai"

    @property
    def default_model(self) -> str:
        return self._model

    @property
    def can_edit(self) -> bool:
        return True

    async def open(self) -> None:
        """Create the client without connecting.

        Raises a GeneratorError for an address or key that no request can use.
        """
        if self._resources is not None:
            return
        base_url = _parse_base_url(self._base_url)
        if not re.fullmatch("[!-~]+", self._api_key):
            raise GeneratorCredentialsError("OPENAI_API_KEY is empty or holds blanks or characters that no key has.")
        upstream = UpstreamClient(self._api_key, base_url, self._timeout_s)
        self._resources = _Resources(
            upstream,
            PictureFetcher(upstream, base_url, self._picture_hosts),
            ThreadPoolExecutor(max_workers=2, thread_name_prefix="openai-decode"),
        )

    async def close(self) -> None:
        resources, self._resources = self._resources, None
        if resources is not None:
            async with AsyncExitStack() as stack:  # last in, first out; a failure does not stop the others
                stack.callback(resources.executor.shutdown)  # waits milliseconds for a picture that is being decoded
                stack.push_async_callback(resources.upstream.close)
                for response in resources.responses:  # closing the client alone would not end pending reads
                    stack.push_async_callback(_close, response)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[PartialImage | GeneratedImage, None]:
        resources = self._require_open()
        model = request.model or self._model
        if (refused := resources.refused_hosts.pop(model, None)) is not None:
            # Said once more before the next picture is paid for: its bytes could be as far away as the last one's.
            raise GeneratorUnavailableError(f"Nothing was generated or paid, as the last picture was lost: {refused}")
        deadline = asyncio.get_running_loop().time() + self._timeout_s - min(MARGIN_S, self._timeout_s / 10)
        with Permit(resources.budget) as permit:
            response = await self._send(resources, request, model, deadline)
            resources.responses.add(response)
            reader = ResponseReader(response, permit, resources.executor, wanted=request.n, deadline=deadline)
            lost: GeneratorResponseError | None = None
            try:
                async with aclosing(reader.read()) as items:
                    async for item in items:
                        if isinstance(item, PartialImage):
                            yield item
                            continue
                        try:
                            data = await self._bytes_of(item, resources, model, deadline)
                        except GeneratorResponseError as error:
                            lost = _joined(lost, error)
                            continue
                        permit.hold(len(data))
                        yield _generated(item, data, model)
                if lost is not None:
                    raise lost
            except Exception as error:
                failure = self._translate(error, model, request)
                if failure.may_have_been_paid:
                    failure.raw = failure.raw or reader.rest or None
                raise failure from error
            finally:
                resources.responses.discard(response)
                await _close(response)

    async def models(self) -> tuple[GeneratorModel, ...]:
        return await asyncio.to_thread(read_models, await self._list_models(MAX_LIST_BYTES), self._model)

    async def check(self) -> str:
        if await self._list_models(0) is not None:
            return self._description
        try:
            async with asyncio.timeout(CHECK_S):
                has_route = await self._require_open().upstream.has_route()
        except FAILURES as error:
            raise GeneratorUnavailableError(f"{self._description}: {error}") from error
        if not has_route:
            raise GeneratorUnavailableError(f"{self._description}: answers 404 to everything; {_RIGHT_ADDRESS}")
        return f"{self._description} (reachable, lists no models)"

    async def read_rescued(self, data: bytes) -> tuple[GeneratedImage, ...]:
        try:
            pictures = await asyncio.to_thread(read_bare, data)
        except (GeneratorResponseError, DocumentRefusal):
            return ()
        return tuple(_generated(one, one.data, self._model) for one in pictures if not one.undecoded)

    async def _send(
        self, resources: _Resources, request: GenerationRequest, model: str, deadline: float
    ) -> UpstreamResponse:
        """Send the request, again after a failure that cannot have been billed, and return the response.

        Raises GeneratorError, with the body of a refusal as `raw` if it may have been paid for.
        """
        loop = asyncio.get_running_loop()
        for delay_s in (*self._retry_delays_s, None):
            try:
                return await resources.upstream.generate(write_request(request, model), deadline, self._trace_fields())
            except FAILURES as error:
                failure = self._translate(error, model, request)
                if failure.may_have_been_paid and isinstance(error, Refusal):
                    failure.raw = error.body or None
                wait_s = _retry_delay(error, delay_s)
                if wait_s is None or loop.time() + wait_s >= deadline:
                    raise failure from error
            await asyncio.sleep(wait_s)
            if self._resources is not resources:
                raise failure  # closed during the wait
        raise AssertionError("the last attempt returns or raises")

    async def _bytes_of(self, picture: ReceivedPicture, resources: _Resources, model: str, deadline: float) -> bytes:
        if picture.url is None:
            return picture.data
        try:
            return await resources.fetcher.fetch(picture.url, deadline)
        except PictureHostRefusedError as error:
            log.error("A picture was paid for and not fetched: %s", error.message)
            resources.refused_hosts[model] = error.message
            raise

    def _translate(self, error: Exception, model: str, request: GenerationRequest) -> GeneratorError:
        return translate(error, api_key=self._api_key, model=model, model_requested=bool(request.model))

    @property
    def _description(self) -> str:
        url = _parse_base_url(self._base_url)
        return f"openai at {url.host if url.port is None else f'{url.host}:{url.port}'}, model {self._model}"

    async def _list_models(self, max_bytes: int) -> bytes | None:
        """Return the list of models (empty if `max_bytes` is 0), or None if the upstream has none."""
        resources = self._require_open()
        try:
            async with asyncio.timeout(CHECK_S):
                response = await resources.upstream.list_models(CHECK_S)
                try:
                    if response.headers.get("content-type", "").lower().startswith("text/html"):
                        raise GeneratorResponseError(f"answers with a page to a program; {_RIGHT_ADDRESS}")
                    return await read_body(response, max_bytes) if max_bytes else b""
                finally:
                    await _close(response)
        except (*FAILURES, GeneratorResponseError) as error:
            if isinstance(error, Refusal) and error.status in (404, 405):
                return None
            failure: GeneratorError
            if isinstance(error, GeneratorResponseError):
                failure = error
            else:
                failure = translate(error, api_key=self._api_key, model=self._model, model_requested=False)
            if isinstance(failure, (GeneratorCredentialsError, GeneratorQuotaError, GeneratorRateLimitedError)):
                raise failure from error
            # Listing models costs nothing, so even a lost connection is only an outage.
            raise GeneratorUnavailableError(f"{self._description}: {failure.message}") from error

    def _require_open(self) -> _Resources:
        if self._resources is None:
            raise GeneratorUnavailableError("The generator is closed.")
        return self._resources


def _parse_base_url(text: str) -> httpx2.URL:
    """Return the base URL; raise GeneratorUnavailableError for one that no request can use."""
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise GeneratorUnavailableError("OPENAI_BASE_URL is not an http or https address without credentials.")
    if url.path.rstrip("/").endswith((GENERATIONS, EDITS, "/chat/completions")):
        raise GeneratorUnavailableError(f"OPENAI_BASE_URL is longer than it may be: {_RIGHT_ADDRESS}")
    return url


def _generated(picture: ReceivedPicture, data: bytes, model: str) -> GeneratedImage:
    return GeneratedImage(
        data=data,
        model=picture.model or model,
        revised_prompt=picture.revised_prompt,
        usage=picture.usage,
        reported=picture.reported,
        call_usage=picture.call_usage,
    )


def _joined(first: GeneratorResponseError | None, second: GeneratorResponseError) -> GeneratorResponseError:
    """Return the first of two errors, with what was lost by both."""
    if first is None:
        return second
    first.raw = b"\n".join(raw for raw in (first.raw, second.raw) if raw)
    return first


async def _close(response: UpstreamResponse) -> None:
    """Close, ignoring failures: they change nothing about what was received."""
    with suppress(*FAILURES):
        await response.close()


def _retry_delay(error: Exception, delay_s: float | None) -> float | None:
    """Return the seconds until the call may be repeated, or None if it may not."""
    if delay_s is None:
        return None
    may_repeat = isinstance(error, RequestNotSentError) and error.may_repeat
    return delay_s * random.uniform(0.75, 1.25) if may_repeat else None
