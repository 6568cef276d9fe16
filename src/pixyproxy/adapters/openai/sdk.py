"""Edits over the SDK, which knows how a form with files is written. Importing this module imports the SDK."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit, OpenAIError

from pixyproxy.adapters.openai.client import CONNECT_S, HEADERS, new_session, new_timeout, read_refusal
from pixyproxy.adapters.openai.content_coding import Answer
from pixyproxy.adapters.openai.error_responses import SdkFailure, UnpackingError
from pixyproxy.adapters.openai.request import EDITS, Call
from pixyproxy.domain.errors import GeneratorUnavailableError

# The SDK hands the answer over as it comes instead of reading it whole.
UNREAD = {"X-Stainless-Raw-Response": "stream"}


class PlainOpenAI(AsyncOpenAI):
    """The SDK's client with these headers and no others.

    The SDK adds what it finds in OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID, and a
    description of this machine. Settings are read in one place only, so all of that is left out.
    """

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return dict(HEADERS)


class SparingClient(DefaultAioHttpClient):
    """The SDK's client on aiohttp, with sessions of ours, which are made in the running loop at the first request."""

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _sparing(super()._init_transport(*args, **kwargs))

    def _init_proxy_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _sparing(super()._init_proxy_transport(*args, **kwargs))


def _sparing(transport: Any) -> httpx2.AsyncBaseTransport:
    transport.client = lambda: new_session(transport.ssl_context, new_timeout(CONNECT_S))  # each request has its own
    return transport  # type: ignore[no-any-return]


class Sdk:
    """The SDK with a client of ours: it retries nothing, and every argument it would look up itself is given.

    Raises GeneratorUnavailableError for an address, or a proxy of the environment, that its client does not take.
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
                http_client=SparingClient(
                    verify=context,
                    timeout=timeout,
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                    follow_redirects=False,
                    event_hooks={"response": [_refuse_unsuccessful]},
                ),
            )
        except (httpx2.InvalidURL, ValueError):
            raise GeneratorUnavailableError("OPENAI_BASE_URL, or a proxy, is no address for edits.") from None

    async def edit(self, call: Call) -> Answer:
        """A successful answer, which must be closed; raises one of FAILURES otherwise."""
        with _told():
            response = await self._client.post(
                EDITS,
                cast_to=httpx2.Response,
                body=call.fields,
                files=call.files,
                options={"headers": {**UNREAD, "Content-Type": "multipart/form-data"}},
            )
        return _answer(response)

    async def close(self) -> None:
        with _told():
            await self._client.close()


def _answer(response: httpx2.Response) -> Answer:
    pieces = response.aiter_bytes()

    async def read() -> bytes:
        with _told():
            return await anext(pieces, b"")

    async def close() -> None:
        with _told():
            await response.aclose()

    return Answer(response.headers, read, close)


async def _refuse_unsuccessful(response: httpx2.Response) -> None:
    """Raise Refusal for anything but 2xx before the SDK reads a body of any length or follows anything."""
    if not response.is_success:
        raise await read_refusal(response.status_code, _answer(response))


@contextmanager
def _told() -> Iterator[None]:
    """Say what goes wrong in the words of this adapter.

    StreamClosed is what an answer ends in that was closed, with its generator, before anybody read it.
    """
    try:
        yield
    except httpx2.DecodingError as error:
        raise UnpackingError(str(error)) from error
    except (OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamClosed) as error:
        raise SdkFailure(type(error).__name__) from error
