"""Client for edits on OpenAI's SDK, which writes forms with files. Importing this module imports the SDK."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit, OpenAIError

from pixyproxy.adapters.openai.error_responses import ContentDecodingError, SdkFailure
from pixyproxy.adapters.openai.request import EDITS, UpstreamRequest
from pixyproxy.adapters.openai.upstream_client import CONNECT_S, HEADERS, new_session, new_timeout, read_refusal
from pixyproxy.adapters.openai.upstream_response import UpstreamResponse
from pixyproxy.domain.errors import GeneratorUnavailableError

# Makes the SDK return the response before reading its body.
_RAW_RESPONSE = {"X-Stainless-Raw-Response": "stream"}


class PlainOpenAI(AsyncOpenAI):
    """The SDK's client with our headers and no others.

    The SDK would add OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID, OPENAI_PROJECT_ID and a description of this machine, but
    only `settings` reads the environment.
    """

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return dict(HEADERS)


class SmallBufferClient(DefaultAioHttpClient):
    """The SDK's client on aiohttp, with our sessions, which are created in the running loop at the first request."""

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _with_small_buffers(super()._init_transport(*args, **kwargs))

    def _init_proxy_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _with_small_buffers(super()._init_proxy_transport(*args, **kwargs))


def _with_small_buffers(transport: Any) -> httpx2.AsyncBaseTransport:
    # Each request brings its own timeout, which replaces this one.
    transport.client = lambda: new_session(transport.ssl_context, new_timeout(CONNECT_S))
    return transport  # type: ignore[no-any-return]


class SdkClient:
    """Client for edits, without the SDK's retries and with every argument that it would look up itself.

    Raises GeneratorUnavailableError for an address, or a proxy of the environment, that the SDK does not accept.
    """

    def __init__(self, api_key: str, base_url: str, context: ssl.SSLContext, timeout_s: float) -> None:
        # At INFO the HTTP client logs every address.
        http_log = logging.getLogger("httpx2")
        if http_log.level == logging.NOTSET:
            http_log.setLevel(logging.WARNING)
        connect_s = min(CONNECT_S, timeout_s)
        timeout = httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s)
        try:
            self._client = PlainOpenAI(
                api_key=api_key,
                admin_api_key="",
                webhook_secret="",
                base_url=base_url,
                timeout=timeout,
                max_retries=0,
                http_client=SmallBufferClient(
                    verify=context,
                    timeout=timeout,
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                    follow_redirects=False,
                    event_hooks={"response": [_refuse_unsuccessful]},
                ),
            )
        except (httpx2.InvalidURL, ValueError):
            raise GeneratorUnavailableError("OPENAI_BASE_URL, or a proxy, is not a valid address for edits.") from None

    async def edit(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send an edit and return the successful response, which must be closed.

        Raises one of FAILURES otherwise.
        """
        with _translated_errors():
            response = await self._client.post(
                EDITS,
                cast_to=httpx2.Response,
                body=request.fields,
                files=request.files,
                options={"headers": {**_RAW_RESPONSE, "Content-Type": "multipart/form-data"}},
            )
        return _upstream_response(response)

    async def close(self) -> None:
        with _translated_errors():
            await self._client.close()


def _upstream_response(response: httpx2.Response) -> UpstreamResponse:
    pieces = response.aiter_bytes()

    async def read() -> bytes:
        with _translated_errors():
            return await anext(pieces, b"")

    async def close() -> None:
        with _translated_errors():
            await response.aclose()

    return UpstreamResponse(response.headers, read, close)


async def _refuse_unsuccessful(response: httpx2.Response) -> None:
    """Raise Refusal for anything but 2xx, before the SDK reads the body or follows a redirect."""
    if not response.is_success:
        raise await read_refusal(response.status_code, _upstream_response(response))


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn the SDK's errors into this adapter's FAILURES.

    StreamClosed means that the generator was closed before anybody read the response.
    """
    try:
        yield
    except httpx2.DecodingError as error:
        raise ContentDecodingError(str(error)) from error
    except (OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamClosed) as error:
        raise SdkFailure(type(error).__name__) from error
