"""The base of storages for `limits` that keep moving windows."""

from abc import abstractmethod

from limits.aio.storage import MovingWindowSupport, Storage

from pixyproxy.ports.clock import Clock

MAX_KEPT = 20_000
"""Keys, or events, of each kind that are kept: about 5 MB."""


def kind_of(key: str) -> str:
    """Return the kind of window that a key of `limits` begins with."""
    return key.partition("/")[0]


class WindowStorage(Storage, MovingWindowSupport):
    """A storage of moving windows, from which events can be taken back.

    It keeps no fixed windows, which would allow twice their limit around an edge.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, max_kept: int = MAX_KEPT) -> None:
        super().__init__(wrap_exceptions=True)
        self._clock = clock
        self._max_kept = max_kept

    @abstractmethod
    async def release_entry(self, key: str) -> None:
        """Take the newest event of a key back."""

    async def aclose(self) -> None:
        """Release what the storage holds open."""

    async def check(self) -> bool:
        return True

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    async def get(self, key: str) -> int:
        raise NotImplementedError

    async def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    async def clear(self, key: str) -> None:
        raise NotImplementedError

    async def reset(self) -> int | None:
        raise NotImplementedError

    def _now(self) -> float:
        return self._clock.now().timestamp()
