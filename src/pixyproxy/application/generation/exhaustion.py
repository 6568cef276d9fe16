"""Calls of the blob store that are repeated for as long as the process or the machine lacks what they need."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pixyproxy.domain.errors import BlobStoreExhaustedError

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0

_T = TypeVar("_T")


class ExhaustionRetries:
    """Repeats calls that find no open file, memory or thread: what was paid for is in memory and must not be lost.

    Only the end of the process ends the attempts. The beginning and the end of such a time are logged.
    """

    def __init__(self) -> None:
        self._waiting = 0

    async def run(self, function: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of a function; raise whatever it raises besides exhaustion."""
        try:
            return await function()
        except (BlobStoreExhaustedError, MemoryError) as error:
            self._waiting += 1
            if self._waiting == 1:
                logger.error("pictures wait in memory to be stored: %s", _reason(error))
        try:
            return await self._repeat(function)
        finally:
            self._waiting -= 1
            if not self._waiting:
                logger.info("no picture waits in memory any more")

    async def _repeat(self, function: Callable[[], Awaitable[_T]]) -> _T:
        delay_s = FIRST_DELAY_S
        while True:
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            try:
                return await function()
            except (BlobStoreExhaustedError, MemoryError):
                continue


def _reason(error: BlobStoreExhaustedError | MemoryError) -> str:
    return error.message if isinstance(error, BlobStoreExhaustedError) else "no memory is left"
