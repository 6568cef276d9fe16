"""HTTP client of the upstream: each call is one request, sent with nothing that was not configured."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from pixyproxy.adapters.openai.error_responses import FAILURES, Refusal
from pixyproxy.adapters.openai.network import Proxies
from pixyproxy.adapters.openai.request import GENERATIONS, MODELS
from pixyproxy.adapters.openai.upstream_response import ReadPiece, UpstreamResponse, decode_content
from pixyproxy.domain.errors import GeneratorUnavailableError

CONNECT_S = 10.0
"""Seconds for name look-up, TCP and TLS together; nothing is sent to the upstream before."""

ERROR_BODY_BYTES = 64 * 1024
ERROR_BODY_S = 5.0
"""Limits of reading a refusal, whose status already says what matters."""

READ_AHEAD_BYTES = 16 * 1024
"""aiohttp buffers up to twice as much of a response; the rest waits in the kernel and at the sender."""

MAX_URL_CHARS = 65536

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


def read_url(text: str, base: URL | None = None) -> URL | None:
    """Parse an address, relative to `base` if given; None if it is not valid."""
    if len(text) > MAX_URL_CHARS or any(char < " " or char == "\x7f" for char in text):
        return None
    try:
        text.encode()
        url = URL(text.replace(" ", "%20"))  # yarl would strip spaces at the ends and turn others into plus signs
        url = base.join(url) if base else url
        # yarl parses these lazily, and some odd addresses fail only here.
        _ = url.raw_user, url.host, url.port
    except (ValueError, IndexError):
        return None
    return url


def has_credentials(url: URL) -> bool:
    """Return whether the address holds a user or a password, even an empty one."""
    return url.raw_user is not None or url.raw_password is not None


def checked_base_url(text: str) -> URL:
    """Parse the base URL.

    Raises GeneratorUnavailableError for one that no request can use.
    """
    url = read_url(text)
    if url is None or url.scheme not in ("http", "https") or not url.host or has_credentials(url):
        raise GeneratorUnavailableError("OPENAI_BASE_URL is not an http or https address without credentials.")
    return url


def new_session(context: ssl.SSLContext, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """Return a client that uses no connection twice, keeps no cookie, and buffers little of a response.

    By default aiohttp buffers half a megabyte of each response, which for hundreds of waiting ones is most of the
    memory. It repeats requests on broken connections for idempotent methods only, never a POST. `trust_env` stays
    off because it would send credentials from a .netrc file.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        read_bufsize=READ_AHEAD_BYTES,
        auto_decompress=False,
    )


def new_timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    """Wait `timeout_s` for each piece of a response, but at most CONNECT_S for a connection."""
    connect_s = min(CONNECT_S, timeout_s)
    return aiohttp.ClientTimeout(connect=connect_s, sock_connect=connect_s, sock_read=timeout_s)


class UpstreamClient:
    """Client for everything but edits: generations, the list of models, and downloads of pictures.

    Each method returns a successful response, which must be closed, and raises one of FAILURES otherwise. Redirects
    are not followed. Create it in the running loop. Proxies of the environment (HTTPS_PROXY, NO_PROXY) apply.
    """

    def __init__(self, api_key: str, base_url: URL, context: ssl.SSLContext, timeout_s: float) -> None:
        self._proxies = Proxies()
        path = base_url.raw_path.rstrip("/")
        self._generations, self._models = (
            base_url.with_path(path + end, encoded=True, keep_query=True) for end in (GENERATIONS, MODELS)
        )
        self._post_headers = CIMultiDict(HEADERS, Authorization=f"Bearer {api_key}")
        self._get_headers = self._post_headers.copy()
        del self._get_headers["Content-Type"]
        self._fetch_headers = self._get_headers.copy()
        self._fetch_headers["Accept"] = "*/*"
        del self._fetch_headers["Authorization"]
        self._session = new_session(context, new_timeout(timeout_s))

    async def generate(self, document: bytes) -> UpstreamResponse:
        return await self._send("POST", self._generations, self._post_headers, data=document)

    async def list_models(self, timeout_s: float) -> UpstreamResponse:
        return await self._send("GET", self._models, self._get_headers, timeout=new_timeout(timeout_s))

    async def fetch(self, url: URL) -> UpstreamResponse:
        """Request an address without sending the API key."""
        return await self._send("GET", url, self._fetch_headers)

    async def close(self) -> None:
        await self._session.close()

    async def _send(self, method: str, url: URL, headers: CIMultiDict[str], **options: Any) -> UpstreamResponse:
        if self._session.closed:  # aiohttp would raise a bare RuntimeError
            raise aiohttp.ClientConnectionError("closed")
        if proxy_options := self._proxies.options(url):
            headers = headers.copy()
            headers.extend(proxy_options.pop("headers", {}))
            options |= proxy_options
        try:
            response = await self._session.request(method, url, headers=headers, allow_redirects=False, **options)
        except UnicodeError as error:
            raise aiohttp.InvalidURL(url.origin(), "a name that cannot be looked up") from error
        read: ReadPiece = response.content.readany
        if codings := response.headers.getall("Content-Encoding", None):
            read = decode_content(read, ",".join(codings).split(","))

        async def close() -> None:
            response.close()

        opened = UpstreamResponse(response.headers, read, close)
        if 200 <= response.status < 300:
            return opened
        try:
            raise await read_refusal(response.status, opened)
        finally:
            response.close()


async def read_refusal(status: int, response: UpstreamResponse) -> Refusal:
    """Read the beginning of an error response, which may be of any length."""
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            while len(body) < ERROR_BODY_BYTES and (piece := await response.read()):
                body += piece
    except FAILURES:
        pass  # the status is enough (a TimeoutError is an OSError)
    return Refusal(status, response.headers, bytes(body[:ERROR_BODY_BYTES]))


class BodyReadLimiter:
    """Limit on the bodies that are read at once, so that many arriving together do not fill the memory.

    A permit ends after `hold_s` seconds: a slow body needs little memory and would block the others.
    """

    def __init__(self, permits: int, hold_s: float) -> None:
        self._semaphore = asyncio.Semaphore(permits)
        self._hold_s = hold_s

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        await self._semaphore.acquire()
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._semaphore.release()

        timer = asyncio.get_running_loop().call_later(self._hold_s, release)
        try:
            yield
        finally:
            timer.cancel()
            release()
