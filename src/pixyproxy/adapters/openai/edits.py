"""Edits, which the SDK sends: it is imported when the first one comes, since most of the memory is its."""

import asyncio
import ssl
from typing import TYPE_CHECKING

from pixyproxy.adapters.openai.body import Answer
from pixyproxy.adapters.openai.request import Call
from pixyproxy.domain.errors import GeneratorUnavailableError

if TYPE_CHECKING:
    from pixyproxy.adapters.openai.sdk import Sdk


class Edits:
    """Sends edits, with one client for all of them."""

    def __init__(self, api_key: str, base_url: str, context: ssl.SSLContext, timeout_s: float) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._context = context
        self._timeout_s = timeout_s
        self._making: asyncio.Task[Sdk] | None = None
        self._is_closed = False

    async def send(self, call: Call) -> Answer:
        """A successful answer, which must be closed; raises one of FAILURES or a GeneratorError otherwise."""
        if self._making is None:
            # In a thread, for it takes a while. Those who come meanwhile wait for the same one, and it
            # goes on for them when the first gives up.
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        sdk = await asyncio.shield(self._making)
        if self._is_closed:
            raise GeneratorUnavailableError("The generator is closed.")
        return await sdk.edit(call)

    async def close(self) -> None:
        self._is_closed = True
        if self._making is not None:
            await asyncio.wait((self._making,))
            if not self._making.cancelled() and self._making.exception() is None:
                await self._making.result().close()

    def _make(self) -> "Sdk":
        from pixyproxy.adapters.openai.sdk import Sdk

        return Sdk(self._api_key, self._base_url, self._context, self._timeout_s)
