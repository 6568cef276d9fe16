"""Counters in moving windows on a storage of `limits`."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from pixyproxy.adapters.limits.memory_storage import MemoryWindowStorage
from pixyproxy.adapters.limits.window_storage import WindowStorage
from pixyproxy.ports.clock import Clock
from pixyproxy.ports.moving_windows import MovingWindows, Window

if TYPE_CHECKING:
    from pixyproxy.adapters.limits.redis_storage import RedisWindowStorage

    SharedStorage: TypeAlias = WindowStorage | RedisWindowStorage

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_AWAY_S = 5.0
"""Seconds after a failure during which the shared storage is not asked."""


class LimitsMovingWindows(MovingWindows):
    """Counters in a storage that processes share, and in the memory of this process without one or while it fails."""

    def __init__(self, clock: Clock, shared: "Callable[[], SharedStorage] | None" = None) -> None:
        """Take the function that creates the shared storage when the counters are opened."""
        self._clock = clock
        self._create = shared
        self._shared: SharedStorage | None = None
        self._own = MemoryWindowStorage(clock)
        self._is_away = False
        self._asked_again_at = -math.inf

    async def open(self) -> None:
        """Create the shared storage, which is connected to on first use."""
        if self._create is not None:
            self._shared = self._create()

    async def close(self) -> None:
        """Close the shared storage."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.aclose()

    async def hit(self, window: Window, key: str, events: int = 1) -> bool:
        return await self._use(lambda storage: MovingWindowRateLimiter(storage).hit(_item(window), key, cost=events))

    async def release(self, window: Window, key: str, events: int = 1) -> None:
        for _ in range(events):
            await self._use(lambda storage: storage.release_entry(_item(window).key_for(key)))

    async def wait_s(self, window: Window, key: str, events: int = 1) -> float:
        stats = await self._use(lambda storage: MovingWindowRateLimiter(storage).get_window_stats(_item(window), key))
        return 0.0 if stats.remaining >= events else max(0.001, stats.reset_time - self._clock.now().timestamp())

    async def _use(self, call: "Callable[[SharedStorage], Awaitable[_T]]") -> _T:
        now = asyncio.get_running_loop().time()
        if self._shared is not None and now >= self._asked_again_at:
            try:
                result = await call(self._shared)
            except _errors_of(self._shared) as error:
                self._asked_again_at = asyncio.get_running_loop().time() + _AWAY_S
                if not self._is_away:
                    self._is_away = True
                    logger.warning("counting logins and pictures in this process only: %s (this is logged once)", error)
            else:
                if self._is_away:
                    self._is_away = False
                    logger.info("counting logins and pictures together with other processes again")
                return result
        return await call(self._own)


def _item(window: Window) -> RateLimitItem:
    return RateLimitItemPerSecond(window.limit, window.length_s, window.kind)


def _errors_of(storage: "SharedStorage") -> tuple[type[Exception], ...]:
    """Return the errors of a storage; those of its own methods are not wrapped."""
    errors = storage.base_exceptions
    return (StorageError, *(errors if isinstance(errors, tuple) else (errors,)))
