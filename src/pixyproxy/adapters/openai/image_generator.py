"""The generator for OpenAI's images API: one call is one request."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import aiohttp

from pixyproxy.adapters.openai.error_responses import FAILURES, Refusal, StreamRefusal, never_sent, translate
from pixyproxy.adapters.openai.event_stream import SMALL_BYTES, StreamReader
from pixyproxy.adapters.openai.models import MAX_LIST_BYTES, read_models
from pixyproxy.adapters.openai.network import new_ssl_context
from pixyproxy.adapters.openai.picture_fetcher import MARGIN_S, OPENAI_PICTURE_HOSTS, PictureFetcher
from pixyproxy.adapters.openai.received_picture import MAX_RESPONSE_BYTES, ReceivedPicture, parse_response
from pixyproxy.adapters.openai.request import write_request
from pixyproxy.adapters.openai.response_body import read_body
from pixyproxy.adapters.openai.upstream_client import BodyReadLimiter, UpstreamClient, checked_base_url
from pixyproxy.domain.errors import (
    GeneratorCredentialsError,
    GeneratorError,
    GeneratorQuotaError,
    GeneratorRateLimitedError,
    GeneratorResponseError,
    GeneratorUnavailableError,
)
from pixyproxy.domain.generation import GeneratedImage, GenerationRequest, GeneratorModel
from pixyproxy.ports.image_generator import ImageGenerator, MakeRoom, OnPartial

DEFAULT_BASE_URL = "https://api.openai.com/v1"
CHECK_S = 10.0
MAX_WAIT_S = 10.0
"""A longer `Retry-After` is left to the caller."""

BODIES_AT_ONCE = 2
BODY_HOLD_S = 0.25


@dataclass(slots=True)
class _Resources:
    upstream: UpstreamClient
    fetcher: PictureFetcher
    limiter: BodyReadLimiter
    executor: ThreadPoolExecutor
    responses: set[aiohttp.ClientResponse] = field(default_factory=set)


class OpenAIImageGenerator(ImageGenerator):
    """Generator for OpenAI or a server with its images API (`POST {base_url}/images/generations`, `…/edits`).

    `model` is sent if a request names none. `timeout_s` bounds the silence between two pieces of a response
    (seconds); the total deadline is the caller's. Pictures may be downloaded from the upstream and from `url_hosts`.
    `retry_delays_s` are the seconds before each repeat of a call that cannot have been billed, if the upstream
    names no delay.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None,
        model: str,
        *,
        timeout_s: float = 300.0,
        url_hosts: tuple[str, ...] = OPENAI_PICTURE_HOSTS,
        retry_delays_s: tuple[float, ...] = (0.5, 1.0),
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url or DEFAULT_BASE_URL
        self._model = model
        self._timeout_s = timeout_s
        self._url_hosts = url_hosts
        self._retry_delays_s = retry_delays_s
        self._resources: _Resources | None = None

    @property
    def name(self) -> str:
        return "openai"

    @property
    def can_edit(self) -> bool:
        return True

    async def open(self) -> None:
        """Create the clients without connecting.

        Raises a GeneratorError for an address or key that no request can use.
        """
        if self._resources is not None:
            return
        base_url = checked_base_url(self._base_url)
        if not self._api_key or not self._api_key.isascii() or not self._api_key.isprintable():
            raise GeneratorCredentialsError("OPENAI_API_KEY is empty or holds characters that no key has.")
        upstream = UpstreamClient(self._api_key, base_url, new_ssl_context(), self._timeout_s)
        self._resources = _Resources(
            upstream=upstream,
            fetcher=PictureFetcher(upstream, base_url, self._url_hosts),
            limiter=BodyReadLimiter(BODIES_AT_ONCE, BODY_HOLD_S),
            executor=ThreadPoolExecutor(max_workers=2, thread_name_prefix="openai-decode"),
        )

    async def close(self) -> None:
        resources, self._resources = self._resources, None
        if resources is not None:
            for response in resources.responses:
                response.close()  # closing the client alone would not end pending reads
            try:
                await resources.upstream.close()
            finally:
                resources.executor.shutdown()  # waits milliseconds for a picture that is being decoded

    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        resources = self._require_open()
        model = request.model or self._model
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        for delay_s in (*self._retry_delays_s, None):
            body = write_request(request, model, streamed=on_partial is not None)
            try:
                pictures, raw = await self._call(resources, body, request.n, on_partial, make_room, deadline)
                break
            except FAILURES as error:
                failure = translate(error, api_key=self._api_key, model=model, model_requested=bool(request.model))
                wait_s = _retry_delay(error, failure, delay_s)
                if wait_s is None or loop.time() + wait_s >= deadline:
                    raise failure from error
            await asyncio.sleep(wait_s)
            if self._resources is not resources:
                raise failure  # closed during the wait
        return tuple(
            GeneratedImage(
                data=picture.data,
                model=picture.model or model,
                revised_prompt=picture.revised_prompt,
                usage=picture.usage,
                reported=picture.reported,
            )
            for picture in await resources.fetcher.fetch_all(pictures, raw, deadline)
        )

    async def models(self) -> tuple[GeneratorModel, ...]:
        return read_models(await self._list_models(MAX_LIST_BYTES), self._model)

    async def check(self) -> str:
        listed = await self._list_models(0)
        return self._description if listed is not None else f"{self._description} (reachable, lists no models)"

    async def _call(
        self,
        resources: _Resources,
        body: bytes | aiohttp.MultipartWriter,
        wanted: int,
        on_partial: OnPartial | None,
        make_room: MakeRoom | None,
        deadline: float,
    ) -> tuple[list[ReceivedPicture], bytes]:
        if isinstance(body, bytes):
            response = await resources.upstream.generate(body)
        else:
            response = await resources.upstream.edit(body)
        resources.responses.add(response)
        try:
            if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                stream_deadline = deadline - min(MARGIN_S, self._timeout_s / 10)
                stream = StreamReader(
                    resources.limiter, resources.executor, on_partial, make_room, wanted, stream_deadline
                )
                pictures = await stream.read(response)
                return pictures, b"\n".join(picture.data for picture in pictures if picture.undecoded)
            # Until there is room and a permit, the body waits in the socket's small buffers.
            limit = MAX_RESPONSE_BYTES * max(1, wanted)
            declared = response.content_length
            if make_room is not None and (declared or 0) <= limit:
                await make_room(declared)
            async with resources.limiter.permit():
                raw = await read_body(response, limit)
                if len(raw) <= SMALL_BYTES:
                    return parse_response(raw), raw
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(resources.executor, parse_response, raw), raw
        finally:
            resources.responses.discard(response)
            response.close()

    @property
    def _description(self) -> str:
        url = checked_base_url(self._base_url)
        host = url.host if url.is_default_port() else f"{url.host}:{url.port}"
        return f"openai at {host}, model {self._model}"

    async def _list_models(self, max_bytes: int) -> bytes | None:
        """Return the list of models (empty if `max_bytes` is 0), or None if the upstream has none."""
        resources = self._require_open()
        try:
            async with asyncio.timeout(CHECK_S):
                response = await resources.upstream.list_models(CHECK_S)
                try:
                    return await read_body(response, max_bytes) if max_bytes else b""
                finally:
                    response.close()
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


def _retry_delay(error: Exception, failure: GeneratorError, delay_s: float | None) -> float | None:
    """Return the seconds until the call may be repeated, or None if it may not."""
    if delay_s is None or isinstance(error, StreamRefusal):
        return None
    if isinstance(failure, GeneratorRateLimitedError) and failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= MAX_WAIT_S else None
    if isinstance(failure, GeneratorRateLimitedError) or never_sent(error):
        return delay_s * random.uniform(0.75, 1.25)
    return None
