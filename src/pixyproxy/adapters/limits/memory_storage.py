"""Moving windows in the memory of this process."""

from collections import OrderedDict, defaultdict

from pixyproxy.adapters.limits.window_storage import MAX_KEPT, WindowStorage, kind_of
from pixyproxy.ports.clock import Clock


class MemoryWindowStorage(WindowStorage):
    """Keeps the times of events by key; of each kind a bounded number of keys, which the oldest leave first.

    The library's own storage in memory bounds nothing, and at every event it goes through all keys in a task, with a
    change of threads for each: 4 s for 10,000 keys.
    """

    base_exceptions = ()

    def __init__(self, clock: Clock, max_kept: int = MAX_KEPT) -> None:
        super().__init__(clock, max_kept)
        self._kinds: defaultdict[str, OrderedDict[str, list[float]]] = defaultdict(OrderedDict)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        kept, now = self._kinds[kind_of(key)], self._now()
        while kept and next(iter(kept.values()))[-1] <= now - expiry:
            kept.popitem(last=False)
        events = [at for at in kept.get(key, ()) if at > now - expiry]
        if len(events) + amount > limit:
            return False
        kept[key] = [*events, *[now] * amount]
        kept.move_to_end(key)
        if len(kept) > self._max_kept:
            kept.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._now()
        events = [at for at in self._kinds[kind_of(key)].get(key, ()) if at > now - expiry]
        return (events[0], len(events)) if events else (now, 0)

    async def release_entry(self, key: str) -> None:
        kept = self._kinds[kind_of(key)]
        if events := kept.get(key):
            events.pop()
            if not events:
                del kept[key]
