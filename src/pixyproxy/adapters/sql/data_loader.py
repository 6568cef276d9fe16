"""A data loader: reads by key that arrive while a query is under way share the next one."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pixyproxy.adapters.sql.batcher import MAX_KEYS, Batcher
from pixyproxy.adapters.sql.connection_pool import C, ConnectionPool

K = TypeVar("K")
V = TypeVar("V")


def data_loader(
    pool: ConnectionPool[C], find: Callable[[C, float, Sequence[K]], Mapping[K, V]]
) -> Batcher[C, K, V | None]:
    """Return a batcher of reads by key; `find(connection, deadline, keys)` returns the values that exist."""

    def find_one(connection: C, deadline: float, key: K) -> V | None:
        return find(connection, deadline, (key,)).get(key)

    def find_all(connection: C, deadline: float, keys: Sequence[K]) -> Sequence[V | None]:
        found = find(connection, deadline, tuple(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]

    return Batcher(pool, find_one, find_all, MAX_KEYS)
