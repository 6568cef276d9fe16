"""Admission of responses: a bound on the bytes of pictures that are in memory before they are stored."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_BYTES = 16 * 1024 * 1024
"""About eight pictures: enough to keep decoder, disk and database busy. More only costs memory and delays reads."""
UNKNOWN_BYTES = 2 * 1024 * 1024
"""The assumed length of a response that does not say its own."""
HOLD_S = 1.0
"""Seconds in which an admitted response must arrive before others stop waiting for it."""
PATIENCE_S = 30.0
"""The longest wait for admission, in seconds: using too much memory is better than losing what was paid for."""


class ByteBudget:
    """Admits responses, first come first served, while few bytes wait to be stored; a single one is always admitted."""

    def __init__(
        self, limit_bytes: int = LIMIT_BYTES, *, hold_s: float = HOLD_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._limit = limit_bytes
        self._patience_s = patience_s
        self._waiting: dict[asyncio.Future[None], int] = {}
        self.hold_s = hold_s
        self.bytes = 0

    @contextmanager
    def permit(self) -> Iterator["Permit"]:
        """Yield the permit of one call's pictures, which is released at the end."""
        permit = Permit(self)
        try:
            yield permit
        finally:
            permit.release()

    async def reserve(self, size: int, deadline: float) -> None:
        """Count these bytes as soon as they fit, or after half of the time until `deadline` (on the loop's clock).

        The other half is left for reading the response.
        """
        if not self._waiting and self._fits(size):
            self.bytes += size
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting[turn] = size
        timer = loop.call_later(min(self._patience_s, max(0.0, deadline - loop.time()) / 2), self._admit, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.pop(turn, None)
                size = 0
            self.change(-size)
            raise
        finally:
            timer.cancel()

    def change(self, size: int) -> None:
        """Count this many bytes more, or fewer if negative, without waiting."""
        self.bytes += size
        while self._waiting:
            turn, wanted = next(iter(self._waiting.items()))
            if not self._fits(wanted):
                return
            self._admit(turn)

    def _fits(self, size: int) -> bool:
        return self.bytes <= 0 or self.bytes + size <= self._limit

    def _admit(self, turn: "asyncio.Future[None]") -> None:
        size = self._waiting.pop(turn, 0)
        if not turn.done():
            self.bytes += size
            turn.set_result(None)


class Permit:
    """One call's share of the budget: the expected bytes while its response arrives, then the real ones."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def admit(self, size: int | None, *, deadline: float) -> None:
        """Wait until a response of this length (None: unknown) fits; see `ByteBudget.reserve`.

        A response that trickles in gives its share back: it does not fill memory quickly, and others would wait.
        """
        self._cancel_timer()
        if not self._bytes:
            size = UNKNOWN_BYTES if size is None else max(1, size)
            await self._budget.reserve(size, deadline)
            self._bytes = size
        self._timer = asyncio.get_running_loop().call_later(self._budget.hold_s, self.release)

    def hold(self, size: int) -> None:
        """Count what has arrived, admitted or not."""
        self._cancel_timer()
        before, self._bytes = self._bytes, size
        self._budget.change(size - before)

    def release(self) -> None:
        """Give back the whole share."""
        self.hold(0)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
