"""Client of the upstream on OpenAI's SDK: each call is one request, sent with nothing that was not configured."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qsl

import httpx2
from openai import APIConnectionError, AsyncOpenAI, Omit

from pixyproxy.adapters.openai.error_translation import FAILURES, Refusal, RequestNotSentError, causes_of
from pixyproxy.adapters.openai.reading.content_coding import codings_of, unpack
from pixyproxy.adapters.openai.reading.raw_response import RawResponse, split_response
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse
from pixyproxy.adapters.openai.request import EDITS, GENERATIONS, MODELS, UpstreamRequest
from pixyproxy.adapters.openai.socket_record import (
    SocketRecord,
    begin_request,
    current_record,
    record_of,
    record_socket,
)
from pixyproxy.domain.errors import GeneratorUnavailableError

CONNECT_S = 10.0
"""Seconds for name look-up, TCP and TLS together; nothing is sent to the upstream before."""

ERROR_BODY_BYTES = 64 * 1024
ERROR_BODY_S = 5.0
"""Limits of reading a refusal, whose status already says what matters."""

HEADERS: dict[str, str] = {
    "Accept": "application/json",
    # Base64 shrinks little, and inflating it costs more than reading it.
    "Accept-Encoding": "identity",
    # A request on a kept connection that the server is just closing looks like a lost picture.
    # A generation takes seconds, so a new connection for each costs nothing.
    "Connection": "close",
    "Content-Type": "application/json",
    "User-Agent": "pixyproxy",
}

# Makes the SDK return the response before reading its body.
_RAW_RESPONSE = {"X-Stainless-Raw-Response": "stream"}
_REPEATABLE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class PlainOpenAI(AsyncOpenAI):
    """The SDK's client with our headers and no others.

    The SDK would add OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID, OPENAI_PROJECT_ID and a description of this machine, but
    only `settings` reads the environment.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Else each copy of the client would look for it, in a thread, for headers that are not sent.
        self._platform = "Unknown"

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return dict(HEADERS)


class UpstreamClient:
    """Client without the SDK's retries, redirects and cookies; proxies and certificates are those of the environment.

    Each call has an HTTP client of its own, as connections are never kept: a shared pool looks at every connection
    twice in each call, which took a fifth of the event loop's time when 500 pictures arrived.

    `timeout_s` bounds the silence between two pieces of a response, in seconds. Each method returns a successful
    response, which must be closed, and raises one of FAILURES otherwise.

    Raises GeneratorUnavailableError for a proxy of the environment that cannot be used.
    """

    def __init__(self, api_key: str, base_url: httpx2.URL, timeout_s: float) -> None:
        # At INFO the HTTP client logs every address.
        http_log = logging.getLogger("httpx2")
        if http_log.level == logging.NOTSET:
            http_log.setLevel(logging.WARNING)
        connect_s = min(CONNECT_S, timeout_s / 2)
        self._timeout = httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s)
        self._base_url = base_url
        self._certificates = httpx2.create_ssl_context()
        self._open: set[httpx2.AsyncClient] = set()
        try:
            http = self._new_http_client()
        except (httpx2.InvalidURL, ValueError, ImportError):
            # The message may hold the password of a proxy.
            raise GeneratorUnavailableError(
                "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY holds an address of a proxy that cannot be used."
            ) from None
        self._sdk = PlainOpenAI(
            api_key=api_key,
            admin_api_key="",
            webhook_secret="",
            base_url=base_url.copy_with(query=None),
            default_query=dict(parse_qsl(base_url.query.decode(), keep_blank_values=True)),
            timeout=self._timeout,
            max_retries=0,
            http_client=http,
        )

    async def generate(
        self, request: UpstreamRequest, deadline: float, trace_fields: Mapping[str, str]
    ) -> UpstreamResponse:
        """Send a generation or, if the request has files, an edit; the response begins before `deadline`."""

        def send(http: httpx2.AsyncClient) -> Awaitable[httpx2.Response]:
            sdk = self._sdk.copy(http_client=http)
            if not request.files:
                options: Any = {"headers": {**_RAW_RESPONSE, **trace_fields}}
                return sdk.post(GENERATIONS, cast_to=httpx2.Response, content=request.document, options=options)
            headers = {**_RAW_RESPONSE, **trace_fields, "Content-Type": "multipart/form-data"}
            return sdk.post(
                EDITS,
                cast_to=httpx2.Response,
                body=request.fields,
                files=request.files,
                options={"headers": headers},
            )

        return await self._opened(send, is_lenient=True, deadline=deadline)

    async def list_models(self, timeout_s: float) -> UpstreamResponse:
        """Ask for the list of models, with a time-out of its own."""

        def send(http: httpx2.AsyncClient) -> Awaitable[httpx2.Response]:
            sdk = self._sdk.copy(http_client=http)
            options: Any = {"headers": _RAW_RESPONSE, "timeout": timeout_s}
            return sdk.get(MODELS, cast_to=httpx2.Response, options=options)

        return await self._opened(send)

    async def has_route(self) -> bool:
        """Return whether anything is at the address of generations, without asking for one."""
        url = self._base_url.copy_with(path=self._base_url.path.rstrip("/") + GENERATIONS)
        headers = {**HEADERS, **self._sdk.auth_headers}
        for method in ("GET", "OPTIONS"):
            try:
                await (await self._opened(partial(_send, method=method, url=url, headers=headers))).close()
            except Refusal as error:
                if error.status == 404:
                    continue
            return True
        return False

    async def fetch(self, url: httpx2.URL, record: SocketRecord, *, with_key: bool = False) -> UpstreamResponse:
        """Request an address, sending the API key with `with_key` only; redirects are refusals.

        Raises AddressRefusedError, an OSError, if the record refuses the address that the host's name stands for.
        """
        headers = {**HEADERS, "Accept": "*/*", **(self._sdk.auth_headers if with_key else {})}
        del headers["Content-Type"]
        return await self._opened(partial(_send, method="GET", url=url, headers=headers, extensions={"record": record}))

    async def close(self) -> None:
        """Close all connections."""
        while self._open:
            await self._open.pop().aclose()

    def _new_http_client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=self._certificates,
            timeout=self._timeout,
            limits=httpx2.Limits(max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            event_hooks={"request": [record_socket, _remove_sdk_headers], "response": [_refuse_unsuccessful]},
        )

    async def _opened(
        self,
        send: Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]],
        *,
        is_lenient: bool = False,
        deadline: float | None = None,
    ) -> UpstreamResponse:
        """Return the response that a request gets, with `is_lenient` even one whose header cannot be parsed.

        Raises one of FAILURES for the errors of the HTTP client and of the SDK, and if the loop's clock shows
        `deadline`.
        """
        begin_request()
        http = self._new_http_client()
        self._open.add(http)
        async with AsyncExitStack() as stack:  # last in, first out
            stack.push_async_callback(self._close, http)
            try:
                async with asyncio.timeout_at(deadline):
                    response = await send(http)
            except (
                APIConnectionError,
                httpx2.HTTPError,
                httpx2.InvalidURL,
                httpx2.StreamClosed,
                TimeoutError,
            ) as error:
                cause = error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
                record = current_record()
                failure = _translated(cause, record)
                raw = record.undelivered() if is_lenient and record is not None and record.is_sent else b""
                if raw:
                    return _broken_response(await asyncio.to_thread(split_response, raw), raw, failure)
                raise failure from error
            stack.push_async_callback(response.aclose)  # closing the client would not end a pending read
            return _upstream_response(response, stack.pop_all())

    async def _close(self, http: httpx2.AsyncClient) -> None:
        self._open.discard(http)
        await http.aclose()


async def _send(http: httpx2.AsyncClient, **request: Any) -> httpx2.Response:
    return await http.send(http.build_request(**request), stream=True)


def _upstream_response(response: httpx2.Response, resources: AsyncExitStack) -> UpstreamResponse:
    async def close() -> None:
        try:
            await resources.aclose()
        except httpx2.HTTPError as error:
            raise ConnectionError(type(error).__name__) from error

    unparsed = record_of(response.request).undelivered
    return UpstreamResponse(response.status_code, response.headers, _pieces(response), unparsed, close)


async def _pieces(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes; raise one of FAILURES for the errors of the HTTP client."""
    record = record_of(response.request)
    try:
        async for piece in response.aiter_raw():
            record.delivered(piece)
            await asyncio.sleep(0)  # Many pieces may have arrived at once, each in a chunk of its own.
            yield piece
    except (httpx2.HTTPError, httpx2.StreamClosed) as error:
        raise _translated(error, record) from error


def _broken_response(parts: RawResponse, raw: bytes, failure: Exception) -> UpstreamResponse:
    """Return a response of bytes that the HTTP client could not read; raise Refusal if they begin like one."""
    status, headers, body = parts
    if not 200 <= status < 300:
        raise Refusal(status, headers, body[:ERROR_BODY_BYTES]) from failure

    async def pieces() -> AsyncGenerator[bytes, None]:
        for piece in tuple[bytes, ...]():
            yield piece
        raise failure

    async def close() -> None:
        pass

    return UpstreamResponse(status, {}, pieces(), lambda: raw, close)


def _translated(error: BaseException, record: SocketRecord | None) -> Exception:
    """Return one of FAILURES for an error of the HTTP client."""
    reason = f"{type(error).__name__}: {error}"
    if record is None or not record.is_sent:
        # A wrong certificate stays wrong.
        is_certain = any(isinstance(cause, ssl.SSLError) for cause in causes_of(error))
        return RequestNotSentError(reason, may_repeat=isinstance(error, _REPEATABLE) and not is_certain)
    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        return TimeoutError(reason)
    return ConnectionError(reason)


async def _remove_sdk_headers(request: httpx2.Request) -> None:
    """Remove what the SDK notes for itself in the header."""
    for name in [name for name in request.headers if name.startswith("x-stainless-")]:
        del request.headers[name]


async def _refuse_unsuccessful(response: httpx2.Response) -> None:
    """Raise Refusal for anything but 2xx, with the beginning of the body, before the SDK reads it."""
    if response.is_success:
        return
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            async for piece in _pieces(response):
                body += piece
                if len(body) >= ERROR_BODY_BYTES:
                    break
    except FAILURES:
        pass  # the status is enough (a TimeoutError is an OSError)
    codings = codings_of(response.headers.get("content-encoding"))
    raise Refusal(
        response.status_code, response.headers, unpack(bytes(body[:ERROR_BODY_BYTES]), codings, ERROR_BODY_BYTES)
    )
