"""Fetching a picture that was paid for and is handed out as an address instead of bytes."""

import asyncio
import re
from dataclasses import replace

from yarl import URL

from pixyproxy.adapters.openai.client import Upstream, has_credentials, read_url
from pixyproxy.adapters.openai.error_responses import FAILURES
from pixyproxy.adapters.openai.response_body import Made, read_body
from pixyproxy.domain.errors import GeneratorResponseError

MAX_PICTURE_BYTES = 64 * 1024 * 1024
FETCH_S = 60.0
MARGIN_S = 0.5

PLAIN_NAME = re.compile(r"[a-z0-9._-]+")

OPENAI_PICTURE_HOSTS = ("oaidalleapiprodscus.blob.core.windows.net",)
"""Where OpenAI keeps the pictures of its older models for an hour (the `url` in its images API reference)."""


class PictureFetcher:
    """Fetches from the upstream's own origin and from `hosts` (and their subdomains), from nowhere else.

    An address in an answer is foreign input: without this it would make the service call any address inside
    its network. No credentials are sent, no redirect is followed, and a host beside the upstream must be a
    plain name, reached by https or by the upstream's own scheme.
    """

    def __init__(self, upstream: Upstream, base_url: URL, hosts: tuple[str, ...]) -> None:
        self._upstream = upstream
        self._base = base_url
        self._hosts = tuple(host.lower() for host in hosts)

    async def fetch_all(self, made: list[Made], raw: bytes, give_up: float) -> list[Made]:
        """The same pictures with the bytes from their addresses; one that cannot be had costs no other.

        Raises the GeneratorResponseError of `fetch` where none can be had.
        """
        failures: list[GeneratorResponseError] = []

        async def fetched(each: Made) -> Made:
            if each.url is None:
                return each
            try:
                return replace(each, data=await self.fetch(each.url, raw, give_up), spoilt=False)
            except GeneratorResponseError as error:
                failures.append(error)
                return each

        results = await asyncio.gather(*map(fetched, made))
        if failures and all(each.spoilt for each in results):
            raise failures[0]
        return results

    async def fetch(self, address: str, raw: bytes, give_up: float) -> bytes:
        """The bytes at the address, at most MAX_PICTURE_BYTES, before the loop's clock shows `give_up`.

        Raises GeneratorResponseError with `raw`, the answer that holds the address, whatever goes wrong: the
        picture is paid for, and whoever keeps the answer can still fetch it.
        """
        url = self._allowed(address)
        if url is None:
            raise GeneratorResponseError("The generator handed out an address that may not be fetched.", raw=raw)
        # A little earlier than the caller's own deadline, which would lose the address with everything else.
        deadline = min(asyncio.get_running_loop().time() + FETCH_S, give_up - MARGIN_S)
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._upstream.fetch(url)
                try:
                    data = await read_body(answer, MAX_PICTURE_BYTES)
                finally:
                    await answer.close()
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
            return None  # the zone of an IPv6 address may end like any host, and the event loop may leave it away
        host = url.host.lower()
        listed = any(host == allowed or host.endswith("." + allowed) for allowed in self._hosts)
        return url if listed and url.scheme in ("https", self._base.scheme) else None


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, the default port filled in (RFC 6454)."""
    return url.scheme, url.host, url.port
