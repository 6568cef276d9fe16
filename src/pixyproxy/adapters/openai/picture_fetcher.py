"""Download of pictures that the upstream returns as addresses instead of bytes."""

import asyncio

import httpx2

from pixyproxy.adapters.openai.error_translation import FAILURES, Refusal, RequestNotSentError
from pixyproxy.adapters.openai.picture_hosts import PictureHost, find_host, host_of, is_public, port_of
from pixyproxy.adapters.openai.reading.content_coding import codings_of, unpack
from pixyproxy.adapters.openai.reading.upstream_response import UpstreamResponse, read_body
from pixyproxy.adapters.openai.socket_record import AddressRefusedError, SocketRecord
from pixyproxy.adapters.openai.upstream_client import UpstreamClient
from pixyproxy.domain.errors import GeneratorResponseError

MAX_PICTURE_BYTES = 64 * 1024 * 1024
FETCH_S = 60.0
MAX_REDIRECTS = 5
RETRY_DELAYS_S = (0.5, 2.0)
"""Seconds before each repeat of a download, which costs nothing."""
MAX_URL_CHARS = 8192
"""Longest address that is fetched; servers refuse longer ones, and parsing one takes 2 µs a character."""

OPENAI_PICTURE_HOSTS = (PictureHost("oaidalleapiprodscus.blob.core.windows.net"),)
"""Host where OpenAI keeps the pictures of its older models for an hour (`url` in its images API reference)."""

_WANT_KEY = {401, 403}
_REDIRECTS = {301, 302, 303, 307, 308}


class PictureHostRefusedError(GeneratorResponseError):
    """An address that may not be fetched: the operator must allow its host."""


class PictureFetcher:
    """Downloads from the upstream's own origin and from `hosts`, from nowhere else.

    The API key is sent to the upstream's own origin only, if that refuses a request without it.

    An address in a response is foreign input and could point into the service's own network. Each redirect is checked
    like the first address. Behind a wildcard only public IP addresses are connected to; a host that is named may be
    anywhere.
    """

    def __init__(self, upstream: UpstreamClient, base_url: httpx2.URL, hosts: tuple[PictureHost, ...]) -> None:
        self._upstream = upstream
        self._base = base_url
        self._hosts = (*hosts, *OPENAI_PICTURE_HOSTS)

    async def fetch(self, address: str, deadline: float) -> bytes:
        """Return the bytes at the address, at most MAX_PICTURE_BYTES, before the loop's clock shows `deadline`.

        Raises GeneratorResponseError with the address as `raw` for every failure, as PictureHostRefusedError if it may
        not be fetched: the picture is paid for and can be downloaded from there by hand.
        """
        raw = address.encode("utf-8", "replace")
        try:
            async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + FETCH_S, deadline)):
                data = await self._fetch_repeatedly(address)
        except GeneratorResponseError as error:
            error.raw = raw
            raise
        except FAILURES as error:
            raise GeneratorResponseError("The picture the generator made could not be fetched.", raw=raw) from error
        if not data:
            raise GeneratorResponseError("The picture the generator made is empty.", raw=raw)
        return data

    async def _fetch_repeatedly(self, address: str) -> bytes:
        delays = iter(RETRY_DELAYS_S)
        while True:
            failure: Exception
            try:
                return await self._follow(address)
            except Refusal as error:
                if error.status < 500 and error.status not in (404, 408, 425, 429):
                    raise
                failure = error
            except AddressRefusedError:
                raise
            except FAILURES as error:
                failure = error
            delay_s = next(delays, None)
            if delay_s is None:
                if not isinstance(failure, RequestNotSentError) or not failure.lacks_files:
                    raise failure
                delay_s = RETRY_DELAYS_S[-1]  # until other connections have ended, or the time is up
            await asyncio.sleep(delay_s)

    async def _follow(self, address: str) -> bytes:
        url, with_key = self._checked(self._base, address), False
        for _ in range(MAX_REDIRECTS):
            try:
                response = await self._request(url, with_key=with_key)
            except Refusal as error:
                if error.status in _WANT_KEY and self._is_own(url) and not with_key:
                    with_key = True
                    continue
                if error.status not in _REDIRECTS or not (location := error.headers.get("location")):
                    raise
                url, with_key = self._checked(url, location), False
                continue
            try:
                data = await read_body(response, MAX_PICTURE_BYTES)
            finally:
                await response.close()
            codings = codings_of(response.headers.get("content-encoding"))
            return await asyncio.to_thread(unpack, data, codings, MAX_PICTURE_BYTES)
        raise GeneratorResponseError("The picture the generator made is behind too many redirects.")

    async def _request(self, url: httpx2.URL, *, with_key: bool) -> UpstreamResponse:
        record = SocketRecord(url.raw_host.decode("ascii"), None if self._is_named(url) else is_public)
        try:
            return await self._upstream.fetch(url, record, with_key=with_key)
        except AddressRefusedError as error:
            raise PictureHostRefusedError(
                f"The picture is at {url.host}, which is {error}: not a public address; "
                "to allow it, name the host itself in OPENAI_PICTURE_HOSTS."
            ) from None

    def _checked(self, base: httpx2.URL, address: str) -> httpx2.URL:
        """Return the address as a URL; raise GeneratorResponseError if it is none or may not be fetched."""
        try:
            if len(address) > MAX_URL_CHARS:
                raise ValueError
            # Some programs write addresses as HTML does: no signature holds this text.
            url = base.join(address.replace("&amp;", "&"))
            if url.scheme not in ("http", "https") or not url.host:
                raise ValueError
        except (httpx2.InvalidURL, ValueError):
            raise GeneratorResponseError("The generator returned an address that is none.") from None
        if url.userinfo:
            raise GeneratorResponseError("The generator returned an address with credentials, which is not fetched.")
        if not self._is_own(url) and find_host(self._hosts, url) is None:
            raise PictureHostRefusedError(
                f"The picture is at {url.host}, a host that is not allowed: to have its pictures fetched, "
                "name it in OPENAI_PICTURE_HOSTS."
            )
        return url

    def _is_own(self, url: httpx2.URL) -> bool:
        return (url.scheme, host_of(url), port_of(url)) == (self._base.scheme, host_of(self._base), port_of(self._base))

    def _is_named(self, url: httpx2.URL) -> bool:
        host = find_host(self._hosts, url)
        return self._is_own(url) or (host is not None and not host.is_wildcard)
