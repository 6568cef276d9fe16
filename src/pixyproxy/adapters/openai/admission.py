"""Admission of responses: a bound on the bytes of pictures that are in memory before they are stored."""

import asyncio
from contextlib import suppress
from typing import Self

LIMIT_BYTES = 16 * 1024 * 1024
"""About eight pictures: enough to keep decoder, disk and database busy. More only costs memory and delays reads."""
ARRIVING_BYTES = 4 * 1024 * 1024
"""About two pictures: with eight that are read in turns, others wait six times as long for the event loop."""
UNKNOWN_BYTES = 2 * 1024 * 1024
"""Assumed length of a response without Content-Length."""
HOLD_S = 1.0
"""Seconds in which an admitted response must arrive; then others stop waiting for it."""
PATIENCE_S = 30.0
"""The longest wait for admission, in seconds: using too much memory is better than losing what was paid for."""


class ByteBudget:
    """Admits responses, first come first served, while few bytes arrive and few wait to be stored.

    A single response is always admitted.
    """

    def __init__(
        self,
        limit_bytes: int = LIMIT_BYTES,
        arriving_bytes: int = ARRIVING_BYTES,
        *,
        hold_s: float = HOLD_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._limit = limit_bytes
        self._arriving_limit = arriving_bytes
        self._patience_s = patience_s
        self._first_in_line = asyncio.Lock()  # gives way in the order of waiting
        self._changed = asyncio.Event()
        self.hold_s = hold_s
        self.bytes = 0
        self.arriving_bytes = 0

    async def reserve(self, size: int, deadline: float) -> None:
        """Count these bytes as soon as they fit, or after half of the time until `deadline` (on the loop's clock).

        The other half is left for reading the response.
        """
        left_s = deadline - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self._patience_s, left_s / 2)), self._first_in_line:
                while not self._has_room(size):
                    self._changed.clear()
                    await self._changed.wait()
        self.change(size, arriving=size)

    def change(self, size: int, *, arriving: int = 0) -> None:
        """Count this many bytes more in all, and of those that arrive, or fewer if negative, without waiting."""
        self.bytes += size
        self.arriving_bytes += arriving
        self._changed.set()

    def _has_room(self, size: int) -> bool:
        return (self.bytes == 0 or self.bytes + size <= self._limit) and (
            self.arriving_bytes == 0 or self.arriving_bytes + size <= self._arriving_limit
        )


class Permit:
    """One call's share of the budget: the expected bytes while its response arrives, then the real ones."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._bytes = 0
        self._arriving_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def admit(self, size: int | None, *, deadline: float) -> None:
        """Wait until a response of this length (None: unknown) fits; see `ByteBudget.reserve`.

        A response that trickles in gives its share back: it does not fill memory quickly, and others would wait.
        """
        self._cancel_timer()
        if not self._bytes:
            size = UNKNOWN_BYTES if size is None else max(1, size)
            await self._budget.reserve(size, deadline)
            self._bytes = self._arriving_bytes = size
        self._timer = asyncio.get_running_loop().call_later(self._budget.hold_s, self.release)

    def hold(self, size: int) -> None:
        """Count received bytes, admitted or not, none of which are arriving any more."""
        self._cancel_timer()
        self._budget.change(size - self._bytes, arriving=-self._arriving_bytes)
        self._bytes, self._arriving_bytes = size, 0

    def release(self) -> None:
        """Give back the whole share."""
        self.hold(0)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
