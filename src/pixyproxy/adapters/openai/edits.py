"""Edits, which the SDK sends: it is imported when the first one comes, since most of the memory is its."""

import asyncio
import ssl
from typing import TYPE_CHECKING

from pixyproxy.adapters.openai.content_coding import Answer
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
        sdk = None if self._is_closed else await self._sdk()
        if sdk is None or self._is_closed:
            raise GeneratorUnavailableError("The generator is closed.")
        return await sdk.edit(call)

    async def close(self) -> None:
        self._is_closed = True
        making = self._making
        if making is not None:
            await asyncio.wait((making,))
            if not making.cancelled() and making.exception() is None:
                await making.result().close()

    async def _sdk(self) -> "Sdk":
        if self._making is None:
            # In a thread, for it takes a while. Those who come meanwhile wait for the same one, and it
            # goes on for them when the first gives up.
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
            self._making.add_done_callback(self._forget_failed)
        try:
            return await asyncio.shield(self._making)
        except Exception as error:
            # Nothing was sent. Each caller gets an error of its own, since they are told apart by what is noted in
            # it; and of a strange one only the kind, for its words may hold the password of a proxy.
            if isinstance(error, GeneratorUnavailableError):
                raise GeneratorUnavailableError(error.message) from error
            raise GeneratorUnavailableError(f"Edits cannot be sent: {type(error).__name__}.") from error

    def _forget_failed(self, making: "asyncio.Task[Sdk]") -> None:
        """Let the next edit try again, even where nobody waited for the failure."""
        if (making.cancelled() or making.exception() is not None) and self._making is making:
            self._making = None

    def _make(self) -> "Sdk":
        from pixyproxy.adapters.openai.sdk import Sdk

        return Sdk(self._api_key, self._base_url, self._context, self._timeout_s)
