"""Download of pictures that the upstream returns as addresses instead of bytes."""

import asyncio
import re
from dataclasses import replace

from yarl import URL

from pixyproxy.adapters.openai.error_responses import FAILURES
from pixyproxy.adapters.openai.received_picture import ReceivedPicture
from pixyproxy.adapters.openai.upstream_client import UpstreamClient, has_credentials, read_url
from pixyproxy.adapters.openai.upstream_response import read_body
from pixyproxy.domain.errors import GeneratorResponseError

MAX_PICTURE_BYTES = 64 * 1024 * 1024
FETCH_S = 60.0
MARGIN_S = 0.5
"""Seconds by which this adapter ends before its caller's deadline, which would lose what was received."""

PLAIN_NAME = re.compile(r"[a-z0-9._-]+")

OPENAI_PICTURE_HOSTS = ("oaidalleapiprodscus.blob.core.windows.net",)
"""Host where OpenAI keeps the pictures of its older models for an hour (`url` in its images API reference)."""


class PictureFetcher:
    """Downloads from the upstream's own origin and from `hosts` (and their subdomains), from nowhere else.

    An address in a response is foreign input and could point into the service's own network. No credentials are
    sent and no redirect is followed. A host other than the upstream must be a plain name, reached by https or by
    the upstream's own scheme.
    """

    def __init__(self, upstream: UpstreamClient, base_url: URL, hosts: tuple[str, ...]) -> None:
        self._upstream = upstream
        self._base = base_url
        self._hosts = tuple(host.lower() for host in hosts)

    async def fetch_all(self, pictures: list[ReceivedPicture], raw: bytes, deadline: float) -> list[ReceivedPicture]:
        """Return the pictures with the bytes from their addresses; a failed download leaves its picture as it was.

        Raises the GeneratorResponseError of `fetch` if there is no picture at all.
        """
        failures: list[GeneratorResponseError] = []

        async def fetched(picture: ReceivedPicture) -> ReceivedPicture:
            if picture.url is None:
                return picture
            try:
                return replace(picture, data=await self.fetch(picture.url, raw, deadline), undecoded=False)
            except GeneratorResponseError as error:
                failures.append(error)
                return picture

        results = await asyncio.gather(*map(fetched, pictures))
        if failures and all(picture.undecoded for picture in results):
            raise failures[0]
        return results

    async def fetch(self, address: str, raw: bytes, deadline: float) -> bytes:
        """Return the bytes at the address, at most MAX_PICTURE_BYTES, before the loop's clock shows `deadline`.

        Raises GeneratorResponseError with `raw`, the response that holds the address, for every failure: the
        picture is paid for and can be downloaded from there by hand.
        """
        url = self._allowed(address)
        if url is None:
            raise GeneratorResponseError("The generator returned an address that may not be fetched.", raw=raw)
        try:
            async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + FETCH_S, deadline - MARGIN_S)):
                response = await self._upstream.fetch(url)
                try:
                    data = await read_body(response, MAX_PICTURE_BYTES)
                finally:
                    await response.close()
        except (*FAILURES, GeneratorResponseError) as error:
            raise GeneratorResponseError("The picture the generator made could not be fetched.", raw=raw) from error
        if not data:
            raise GeneratorResponseError("The picture the generator made is empty.", raw=raw)
        return data

    def _allowed(self, address: str) -> URL | None:
        url = read_url(address, self._base)
        if url is None or has_credentials(url) or not url.host:
            return None
        if origin(url) == origin(self._base):
            return url
        if not PLAIN_NAME.fullmatch(url.raw_host or ""):
            return None  # an IPv6 zone can imitate the end of a host name, and the event loop may ignore it
        host = url.host.lower()
        listed = any(host == allowed or host.endswith("." + allowed) for allowed in self._hosts)
        return url if listed and url.scheme in ("https", self._base.scheme) else None


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port, with the default port filled in (RFC 6454)."""
    return url.scheme, url.host, url.port
