"""The SDK's client, set up so that one call is one request and nothing comes from the environment unasked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

from pixyproxy.adapters.openai.errors import Refusal
from pixyproxy.domain.errors import GeneratorUnavailableError

CONNECT_S = 10.0
"""Seconds for name look-up, TCP and TLS together; nothing was asked of the upstream until they are done."""

ERROR_BODY_BYTES = 64 * 1024
ERROR_BODY_S = 5.0
"""How much of a refusal is read, and for how long: its status has said what matters."""

READ_AHEAD_BYTES = 16 * 1024
"""Above twice as much, the rest of an answer that nobody reads yet stays in the kernel and at its sender."""


HEADERS: dict[str, str] = {
    "Accept": "application/json",
    # Base64 shrinks little, and inflating it costs more than reading it.
    "Accept-Encoding": "identity",
    # A request on a kept connection that the server is just closing would look like a lost picture.
    # Against seconds of generation, a new connection for each costs nothing.
    "Connection": "close",
    "Content-Type": "application/json",
    "User-Agent": "pixyproxy",
}


class PlainOpenAI(AsyncOpenAI):
    """The SDK's client with these headers and no others.

    The SDK adds what it finds in OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID, and a
    description of this machine. Settings are read in one place only, so all of that is left out.
    """

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return dict(HEADERS)


def checked_base_url(text: str) -> httpx2.URL:
    """The address as an URL; raises GeneratorUnavailableError for one that no request can use."""
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise GeneratorUnavailableError("OPENAI_BASE_URL is not an http or https address without credentials.")
    return url


class Connector(aiohttp.TCPConnector):
    """Connects as aiohttp does, and where a host has one address leaves all of it to the event loop.

    aiohttp makes a socket of Python's own, so that it can try several addresses at once. Each call of such a socket
    gives the interpreter's lock away, which takes longer than the call where threads wait for it.
    """

    async def _wrap_create_connection(self, *args: Any, addr_infos: list[Any], **kwargs: Any) -> Any:
        if len(addr_infos) != 1:
            return await super()._wrap_create_connection(*args, addr_infos=addr_infos, **kwargs)
        family, _, _, _, (host, port, *_) = addr_infos[0]
        return await self._wrap_existing_connection(*args, host, port, family=family, **kwargs)


class SparingClient(DefaultAioHttpClient):
    """The SDK's client on aiohttp, which reads an answer only a little ahead of whoever takes it in.

    By itself aiohttp reads half a megabyte of each ahead, which for hundreds that wait is most of the memory.
    """

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _sparing(super()._init_transport(*args, **kwargs))

    def _init_proxy_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return _sparing(super()._init_proxy_transport(*args, **kwargs))


def _sparing(transport: Any) -> httpx2.AsyncBaseTransport:
    """The same transport with a session of ours, which is made in the running loop at the first request."""
    transport.client = lambda: aiohttp.ClientSession(
        connector=Connector(
            ssl=transport.ssl_context,
            keepalive_timeout=transport.limits.keepalive_expiry,
            limit=transport.limits.max_connections,
        ),
        read_bufsize=READ_AHEAD_BYTES,
    )
    return transport  # type: ignore[no-any-return]


def new_http_client(context: ssl.SSLContext, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """A client on aiohttp that follows no redirect and reuses no connection.

    Proxies and certificates of the environment (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE) hold: they describe
    the network, and every program on the machine is expected to mind them. aiohttp repeats a request on a
    broken connection by itself for idempotent methods only (`IDEMPOTENT_METHODS` in its client.py), never a POST.
    """
    return SparingClient(
        verify=context,
        timeout=timeout,
        # 0 is "no limit" to aiohttp (None would be 100). The tiny expiry means that no connection is used twice.
        limits=httpx2.Limits(max_connections=0, max_keepalive_connections=0, keepalive_expiry=1e-6),
        follow_redirects=False,
        event_hooks={"response": [refuse_unsuccessful]},
    )


def new_client(api_key: str, base_url: str, http_client: httpx2.AsyncClient, timeout: httpx2.Timeout) -> AsyncOpenAI:
    """The SDK on that HTTP client; it retries nothing, and every argument it would look up itself is given."""
    return PlainOpenAI(
        api_key=api_key,
        admin_api_key="",
        webhook_secret="",
        base_url=base_url,
        timeout=timeout,
        max_retries=0,
        http_client=http_client,
    )


async def send_json(http_client: httpx2.AsyncClient, url: httpx2.URL, api_key: str, document: bytes) -> httpx2.Response:
    """Send one request as the SDK would, and return the answer, still to be read.

    The SDK looks through its options, the environment and the body at every call, which takes longer than all the
    rest of the call.
    """
    headers = {**HEADERS, "Authorization": f"Bearer {api_key}"}
    return await http_client.send(
        http_client.build_request("POST", url, content=document, headers=headers), stream=True
    )


def new_timeout(timeout_s: float) -> httpx2.Timeout:
    """Wait `timeout_s` for each piece of an answer, but less for a connection."""
    connect_s = min(CONNECT_S, timeout_s)
    return httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s)


async def refuse_unsuccessful(response: httpx2.Response) -> None:
    """Raise Refusal for anything but 2xx before the SDK reads a body of any length or follows anything."""
    if response.is_success:
        return
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) >= ERROR_BODY_BYTES:
                    break
    except (httpx2.HTTPError, aiohttp.ClientError, OSError):
        pass  # a refusal stays one although its words broke off (a TimeoutError is an OSError)
    raise Refusal(response.status_code, response.headers, bytes(body[:ERROR_BODY_BYTES]))


class BodyPlaces:
    """Lets a few answers be read at once, so that many arriving together do not fill the memory.

    A body that trickles gives its place back after `hold_s` seconds: it needs no memory in a hurry, and
    would keep the others waiting.
    """

    def __init__(self, places: int, hold_s: float) -> None:
        self._semaphore = asyncio.Semaphore(places)
        self._hold_s = hold_s

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        await self._semaphore.acquire()
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                held = False
                self._semaphore.release()

        timer = asyncio.get_running_loop().call_later(self._hold_s, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
