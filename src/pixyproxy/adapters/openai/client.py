"""HTTP to the upstream, so that one call is one request and nothing comes from the environment unasked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from pixyproxy.adapters.openai.content_coding import Answer, Read, unpacking
from pixyproxy.adapters.openai.error_responses import FAILURES, Refusal
from pixyproxy.adapters.openai.network import Proxies
from pixyproxy.adapters.openai.request import GENERATIONS, MODELS
from pixyproxy.domain.errors import GeneratorUnavailableError

CONNECT_S = 10.0
"""Seconds for name look-up, TCP and TLS together; nothing was asked of the upstream until they are done."""

ERROR_BODY_BYTES = 64 * 1024
ERROR_BODY_S = 5.0
"""How much of a refusal is read, and for how long: its status has said what matters."""

READ_AHEAD_BYTES = 16 * 1024
"""Above twice as much, the rest of an answer that nobody reads yet stays in the kernel and at its sender."""

MAX_URL_CHARS = 65536

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


def read_url(text: str, base: URL | None = None) -> URL | None:
    """The address, as seen from another, or None for one that is none."""
    if len(text) > MAX_URL_CHARS or any(char < " " or char == "\x7f" for char in text):
        return None
    try:
        text.encode()
        url = URL(text.replace(" ", "%20"))  # which it would take out at the ends, and make a plus sign of
        url = base.join(url) if base else url
        # These are read only now, and from the address as it is written out, which for an odd one may be another.
        _ = url.raw_user, url.host, url.port
    except (ValueError, IndexError):
        return None
    return url


def has_credentials(url: URL) -> bool:
    """Whether a user or a password, be they empty, are in the address."""
    return url.raw_user is not None or url.raw_password is not None


def checked_base_url(text: str) -> URL:
    """The address as an URL; raises GeneratorUnavailableError for one that no request can use."""
    url = read_url(text)
    if url is None or url.scheme not in ("http", "https") or not url.host or has_credentials(url):
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


def new_session(context: ssl.SSLContext, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """A client that uses no connection twice, keeps no cookie, and reads an answer only a little ahead.

    By itself aiohttp reads half a megabyte of each ahead, which for hundreds that wait is most of the memory. It
    repeats a request on a broken connection by itself for idempotent methods only (`IDEMPOTENT_METHODS` in its
    client.py), never a POST. It knows nothing of the environment: with `trust_env` it would send what a .netrc holds.
    """
    return aiohttp.ClientSession(
        connector=Connector(ssl=context, limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        read_bufsize=READ_AHEAD_BYTES,
        auto_decompress=False,
    )


def new_timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    """Wait `timeout_s` for each piece of an answer, but less for a connection."""
    connect_s = min(CONNECT_S, timeout_s)
    return aiohttp.ClientTimeout(connect=connect_s, sock_connect=connect_s, sock_read=timeout_s)


class Upstream:
    """Sends what needs no form: generations, the question for the models, and the fetching of pictures.

    Each method gives a successful answer, which must be closed, and raises one of FAILURES otherwise. No redirect is
    followed. Made in the running loop.

    Proxies of the environment (HTTPS_PROXY, NO_PROXY) hold, as its certificates do: they describe the network, and
    every program on the machine is expected to mind them.
    """

    def __init__(self, api_key: str, base_url: URL, context: ssl.SSLContext, timeout_s: float) -> None:
        self._proxies = Proxies()
        path = base_url.raw_path.rstrip("/")
        self._generations, self._models = (
            base_url.with_path(path + end, encoded=True, keep_query=True) for end in (GENERATIONS, MODELS)
        )
        self._posting = CIMultiDict(HEADERS, Authorization=f"Bearer {api_key}")
        self._asking = self._posting.copy()
        del self._asking["Content-Type"]
        self._fetching = self._asking.copy()
        self._fetching["Accept"] = "*/*"
        del self._fetching["Authorization"]
        self._session = new_session(context, new_timeout(timeout_s))

    async def generate(self, document: bytes) -> Answer:
        return await self._send("POST", self._generations, self._posting, data=document)

    async def list_models(self, timeout_s: float) -> Answer:
        return await self._send("GET", self._models, self._asking, timeout=new_timeout(timeout_s))

    async def fetch(self, url: URL) -> Answer:
        """What is at an address, which is sent neither the key nor anything else of ours."""
        return await self._send("GET", url, self._fetching)

    async def close(self) -> None:
        await self._session.close()

    async def _send(self, method: str, url: URL, headers: CIMultiDict[str], **options: Any) -> Answer:
        if self._session.closed:  # which aiohttp tells by a bare RuntimeError
            raise aiohttp.ClientConnectionError("closed")
        if way := self._proxies.options(url):
            headers = headers.copy()
            headers.extend(way.pop("headers", {}))
            options |= way
        try:
            response = await self._session.request(method, url, headers=headers, allow_redirects=False, **options)
        except UnicodeError as error:
            raise aiohttp.InvalidURL(url.origin(), "a name that cannot be looked up") from error
        read: Read = response.content.readany
        if codings := response.headers.getall("Content-Encoding", None):
            read = unpacking(read, ",".join(codings).split(","))

        async def close() -> None:
            response.close()

        answer = Answer(response.headers, read, close)
        if 200 <= response.status < 300:
            return answer
        try:
            raise await read_refusal(response.status, answer)
        finally:
            response.close()


async def read_refusal(status: int, answer: Answer) -> Refusal:
    """The upstream's refusal with the beginning of its body, which may be of any length."""
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            while len(body) < ERROR_BODY_BYTES and (piece := await answer.read()):
                body += piece
    except FAILURES:
        pass  # a refusal stays one although its words broke off (a TimeoutError is an OSError)
    return Refusal(status, answer.headers, bytes(body[:ERROR_BODY_BYTES]))


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
