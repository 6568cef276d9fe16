"""The generator for OpenAI's images API: one call is one request."""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pixyproxy.adapters.openai.error_responses import FAILURES, Refusal, StreamRefusal, never_sent, translate
from pixyproxy.adapters.openai.event_stream import SMALL_BYTES, StreamReader
from pixyproxy.adapters.openai.models import MAX_LIST_BYTES, read_models
from pixyproxy.adapters.openai.network import new_ssl_context
from pixyproxy.adapters.openai.picture_fetcher import MARGIN_S, OPENAI_PICTURE_HOSTS, PictureFetcher
from pixyproxy.adapters.openai.received_picture import MAX_RESPONSE_BYTES, ReceivedPicture, parse_response
from pixyproxy.adapters.openai.request import UpstreamRequest, write_request
from pixyproxy.adapters.openai.upstream_client import BodyReadLimiter, UpstreamClient, checked_base_url
from pixyproxy.adapters.openai.upstream_response import UpstreamResponse, read_body
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

if TYPE_CHECKING:
    from pixyproxy.adapters.openai.sdk import SdkClient

DEFAULT_BASE_URL = "https://api.openai.com/v1"
CHECK_S = 10.0
MAX_WAIT_S = 10.0
"""A longer `Retry-After` is left to the caller."""

BODIES_AT_ONCE = 2
BODY_HOLD_S = 0.25


@dataclass(slots=True)
class _Resources:
    context: ssl.SSLContext
    upstream: UpstreamClient
    fetcher: PictureFetcher
    limiter: BodyReadLimiter
    executor: ThreadPoolExecutor
    responses: set[UpstreamResponse] = field(default_factory=set)
    sdk: "SdkClient | None" = None
    sdk_lock: asyncio.Lock = field(default_factory=asyncio.Lock)


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
        context = new_ssl_context()
        upstream = UpstreamClient(self._api_key, base_url, context, self._timeout_s)
        self._resources = _Resources(
            context=context,
            upstream=upstream,
            fetcher=PictureFetcher(upstream, base_url, self._url_hosts),
            limiter=BodyReadLimiter(BODIES_AT_ONCE, BODY_HOLD_S),
            executor=ThreadPoolExecutor(max_workers=2, thread_name_prefix="openai-decode"),
        )

    async def close(self) -> None:
        resources, self._resources = self._resources, None
        if resources is not None:
            async with AsyncExitStack() as stack:  # last in, first out; a failure does not stop the others
                stack.callback(resources.executor.shutdown)  # waits milliseconds for a picture that is being decoded
                stack.push_async_callback(_close, resources.upstream.close)
                stack.push_async_callback(_close_sdk, resources)
                for response in resources.responses:  # closing the clients alone would not end pending reads
                    stack.push_async_callback(_close, response.close)

    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        resources = self._require_open()
        model = request.model or self._model
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        for delay_s in (*self._retry_delays_s, None):
            written = write_request(request, model, streamed=on_partial is not None)
            try:
                pictures, raw = await self._call(resources, written, request.n, on_partial, make_room, deadline)
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
        request: UpstreamRequest,
        wanted: int,
        on_partial: OnPartial | None,
        make_room: MakeRoom | None,
        deadline: float,
    ) -> tuple[list[ReceivedPicture], bytes]:
        if request.files:
            response = await (await self._sdk(resources)).edit(request)
        else:
            response = await resources.upstream.generate(request.document)
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
            declared = response.declared_bytes
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
            await _close(response.close)

    async def _sdk(self, resources: _Resources) -> "SdkClient":
        """Return the client for edits, created for the first edit: importing the SDK takes time and much memory."""
        async with resources.sdk_lock:
            if resources.sdk is None and self._resources is resources:
                try:
                    resources.sdk = await asyncio.to_thread(self._new_sdk_client, resources.context)
                except GeneratorUnavailableError:
                    raise
                except Exception as error:
                    # Only the class: the message may hold the password of a proxy.
                    raise GeneratorUnavailableError(f"Edits cannot be sent: {type(error).__name__}.") from error
        if resources.sdk is None or self._resources is not resources:
            raise GeneratorUnavailableError("The generator is closed.")
        return resources.sdk

    def _new_sdk_client(self, context: ssl.SSLContext) -> "SdkClient":
        from pixyproxy.adapters.openai.sdk import SdkClient

        return SdkClient(self._api_key, str(checked_base_url(self._base_url)), context, self._timeout_s)

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
                    await response.close()
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


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    """Close, ignoring failures: they change nothing about what was received."""
    with suppress(*FAILURES):
        await close()


async def _close_sdk(resources: _Resources) -> None:
    async with resources.sdk_lock:
        if resources.sdk is not None:
            await _close(resources.sdk.close)


def _retry_delay(error: Exception, failure: GeneratorError, delay_s: float | None) -> float | None:
    """Return the seconds until the call may be repeated, or None if it may not."""
    if delay_s is None or isinstance(error, StreamRefusal):
        return None
    if isinstance(failure, GeneratorRateLimitedError) and failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= MAX_WAIT_S else None
    if isinstance(failure, GeneratorRateLimitedError) or never_sent(error):
        return delay_s * random.uniform(0.75, 1.25)
    return None
