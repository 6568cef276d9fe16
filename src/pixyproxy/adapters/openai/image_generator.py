"""The generator behind OpenAI's images API: one call, one request."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from pixyproxy.adapters.openai.client import BodyPlaces, Upstream, checked_base_url
from pixyproxy.adapters.openai.content_coding import Answer
from pixyproxy.adapters.openai.edits import Edits
from pixyproxy.adapters.openai.error_responses import FAILURES, Refusal, StreamRefusal, never_sent, translate
from pixyproxy.adapters.openai.models import MAX_LIST_BYTES, read_models
from pixyproxy.adapters.openai.network import new_ssl_context
from pixyproxy.adapters.openai.request import Call, write_call
from pixyproxy.adapters.openai.response_body import MAX_ANSWER_BYTES, Made, parse_answer, read_body
from pixyproxy.adapters.openai.stream import SMALL_BYTES, StreamReader
from pixyproxy.adapters.openai.url_fetch import MARGIN_S, OPENAI_PICTURE_HOSTS, PictureFetcher
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
"""A longer `Retry-After` is the caller's to wait for."""

BODIES_AT_ONCE = 2
BODY_HOLD_S = 0.25


@dataclass(frozen=True, slots=True)
class _Opened:
    upstream: Upstream
    edits: Edits
    fetcher: PictureFetcher
    places: BodyPlaces
    executor: ThreadPoolExecutor
    answers: set[Answer]


class OpenAIImageGenerator(ImageGenerator):
    """Pictures from OpenAI or a server that speaks its images API (`POST {base_url}/images/generations`, `…/edits`).

    `model` is sent where a request names none. `timeout_s` bounds the silence between two pieces of an answer
    (seconds); the total deadline is the caller's. `url_hosts` may hand out pictures besides the upstream
    itself. `retry_delays_s` are the waits, in seconds, before each repeat of what cannot have been billed, where
    the upstream names no delay.
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
        self._opened: _Opened | None = None

    @property
    def name(self) -> str:
        return "openai"

    @property
    def can_edit(self) -> bool:
        return True

    async def open(self) -> None:
        """Make the clients; connects to nothing. Raises a GeneratorError for an address or key no request can use."""
        if self._opened is not None:
            return
        base_url = checked_base_url(self._base_url)
        if not self._api_key or not self._api_key.isascii() or not self._api_key.isprintable():
            raise GeneratorCredentialsError("OPENAI_API_KEY is empty or holds characters that no key has.")
        context = new_ssl_context()
        upstream = Upstream(self._api_key, base_url, context, self._timeout_s)
        self._opened = _Opened(
            upstream=upstream,
            edits=Edits(self._api_key, str(base_url), context, self._timeout_s),
            fetcher=PictureFetcher(upstream, base_url, self._url_hosts),
            places=BodyPlaces(BODIES_AT_ONCE, BODY_HOLD_S),
            executor=ThreadPoolExecutor(max_workers=2, thread_name_prefix="openai-decode"),
            answers=set(),
        )

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            async with AsyncExitStack() as last_first:  # and each whatever becomes of the others
                last_first.callback(opened.executor.shutdown)  # waits for the milliseconds of a picture being decoded
                last_first.push_async_callback(_close, opened.upstream.close)
                last_first.push_async_callback(_close, opened.edits.close)
                for answer in opened.answers:  # closing the clients alone would not wake who waits for their rest
                    last_first.push_async_callback(_close, answer.close)

    async def generate(
        self, request: GenerationRequest, on_partial: OnPartial | None = None, make_room: MakeRoom | None = None
    ) -> tuple[GeneratedImage, ...]:
        opened = self._require_open()
        model = request.model or self._model
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._timeout_s
        for delay_s in (*self._retry_delays_s, None):
            call = write_call(request, model, streamed=on_partial is not None)
            try:
                made, raw = await self._call(opened, call, request.n, on_partial, make_room, give_up)
                break
            except FAILURES as error:
                failure = translate(error, api_key=self._api_key, model=model, model_requested=bool(request.model))
                wait_s = _wait(error, failure, delay_s)
                if wait_s is None or loop.time() + wait_s >= give_up:
                    raise failure from error
            await asyncio.sleep(wait_s)
            if self._opened is not opened:
                raise failure  # closed meanwhile
        return tuple(
            GeneratedImage(
                data=each.data,
                model=each.model or model,
                revised_prompt=each.revised_prompt,
                usage=each.usage,
                reported=each.reported,
            )
            for each in await opened.fetcher.fetch_all(made, raw, give_up)
        )

    async def models(self) -> tuple[GeneratorModel, ...]:
        return read_models(await self._list_models(MAX_LIST_BYTES), self._model)

    async def check(self) -> str:
        listed = await self._list_models(0)
        return self._words if listed is not None else f"{self._words} (reachable, lists no models)"

    async def _call(
        self,
        opened: _Opened,
        call: Call,
        wanted: int,
        on_partial: OnPartial | None,
        make_room: MakeRoom | None,
        give_up: float,
    ) -> tuple[list[Made], bytes]:
        answer = await (opened.edits.send(call) if call.files else opened.upstream.generate(call.document))
        opened.answers.add(answer)
        try:
            if answer.headers.get("content-type", "").lower().startswith("text/event-stream"):
                # A little earlier than the caller's own deadline, which would lose what is finished with the rest.
                deadline = give_up - min(MARGIN_S, self._timeout_s / 10)
                stream = StreamReader(opened.places, opened.executor, on_partial, make_room, wanted, deadline)
                made = await stream.read(answer)
                return made, b"\n".join(each.data for each in made if each.spoilt)
            # The answer waits in the socket's small buffers until there is room for it, and a place to be read.
            limit = MAX_ANSWER_BYTES * max(1, wanted)
            declared = answer.declared_bytes
            if make_room is not None and (declared or 0) <= limit:
                await make_room(declared)
            async with opened.places.place():
                raw = await read_body(answer, limit)
                if len(raw) <= SMALL_BYTES:
                    return parse_answer(raw), raw
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(opened.executor, parse_answer, raw), raw
        finally:
            opened.answers.discard(answer)
            await _close(answer.close)

    @property
    def _words(self) -> str:
        url = checked_base_url(self._base_url)
        where = url.host if url.is_default_port() else f"{url.host}:{url.port}"
        return f"openai at {where}, model {self._model}"

    async def _list_models(self, max_bytes: int) -> bytes | None:
        """The list of models unless `max_bytes` is 0, or None where the upstream has none."""
        opened = self._require_open()
        try:
            async with asyncio.timeout(CHECK_S):
                answer = await opened.upstream.list_models(CHECK_S)
                try:
                    return await read_body(answer, max_bytes) if max_bytes else b""
                finally:
                    await answer.close()
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
            # Nothing was asked for that could be paid, so a lost connection is no more than that.
            raise GeneratorUnavailableError(f"{self._words}: {failure.message}") from error

    def _require_open(self) -> _Opened:
        if self._opened is None:
            raise GeneratorUnavailableError("The generator is closed.")
        return self._opened


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    """Close what is needed no more; that it fails changes nothing about what was had of it."""
    with suppress(*FAILURES):
        await close()


def _wait(error: Exception, failure: GeneratorError, delay_s: float | None) -> float | None:
    """Seconds until the call may be repeated, or None if it may not."""
    if delay_s is None or isinstance(error, StreamRefusal):
        return None
    if isinstance(failure, GeneratorRateLimitedError) and failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= MAX_WAIT_S else None
    if isinstance(failure, GeneratorRateLimitedError) or never_sent(error):
        return delay_s * random.uniform(0.75, 1.25)
    return None
