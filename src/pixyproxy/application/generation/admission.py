"""A bound on the bytes of pictures that are here at once: between the generator's answer and its last row."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_BYTES = 16 * 1024 * 1024
"""Some eight pictures: enough to keep decoder, disk and database busy. More only take memory, and make reads wait."""
UNKNOWN_BYTES = 2 * 1024 * 1024
"""What an answer is taken for that does not say how long it is."""
HOLD_S = 1.0
"""How long an answer may take to arrive before the others no longer wait for it."""
PATIENCE_S = 30.0
"""The longest wait for room. What is not stored may fill the memory sooner than what is paid for may be lost."""


class ByteBudget:
    """Lets answers in, first come first served, while few bytes wait to be stored; one is always let in."""

    def __init__(
        self, limit_bytes: int = LIMIT_BYTES, *, hold_s: float = HOLD_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._limit = limit_bytes
        self._patience_s = patience_s
        self._waiting: dict[asyncio.Future[None], int] = {}
        self.hold_s = hold_s
        self.bytes = 0

    @contextmanager
    def landing(self) -> Iterator["Landing"]:
        """The landing of one call's pictures; when it ends, what they took is free for the next."""
        landing = Landing(self)
        try:
            yield landing
        finally:
            landing.leave()

    async def take(self, size: int, deadline: float) -> None:
        """Count these bytes as soon as there is room for them, or when the wait has been too long.

        That is at half of the time until `deadline` (on the loop's clock), so that there is time left to read them.
        """
        if not self._waiting and self._fits(size):
            self.bytes += size
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting[turn] = size
        timer = loop.call_later(min(self._patience_s, max(0.0, deadline - loop.time()) / 2), self._let_in, turn)
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
        """Count so many bytes more, or with a negative number fewer, at once."""
        self.bytes += size
        while self._waiting:
            turn, wanted = next(iter(self._waiting.items()))
            if not self._fits(wanted):
                return
            self._let_in(turn)

    def _fits(self, size: int) -> bool:
        return self.bytes <= 0 or self.bytes + size <= self._limit

    def _let_in(self, turn: "asyncio.Future[None]") -> None:
        size = self._waiting.pop(turn, 0)
        if not turn.done():
            self.bytes += size
            turn.set_result(None)


class Landing:
    """What one call's answer takes of the room: what is expected while it arrives, then what it is."""

    def __init__(self, landings: ByteBudget) -> None:
        self._landings = landings
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def make_room(self, size: int | None, *, deadline: float) -> None:
        """Wait for room for an answer of that length, or of one that is not known; see `ByteBudget.take`.

        An answer that trickles gives its room back: it fills no memory in a hurry, and would keep the others waiting.
        """
        self._forget_timer()
        if not self._bytes:
            size = UNKNOWN_BYTES if size is None else max(1, size)
            await self._landings.take(size, deadline)
            self._bytes = size
        self._timer = asyncio.get_running_loop().call_later(self._landings.hold_s, self.leave)

    def arrived(self, size: int) -> None:
        """Count what has come, whether or not room was made for it."""
        self._forget_timer()
        before, self._bytes = self._bytes, size
        self._landings.change(size - before)

    def leave(self) -> None:
        """Take no room any more."""
        self.arrived(0)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
