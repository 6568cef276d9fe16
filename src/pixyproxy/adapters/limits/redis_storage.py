"""Moving windows in Redis or Valkey, which several machines share."""

from limits.aio.storage import RedisStorage
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_TIMEOUT_S = 1.0


class RedisWindowStorage(RedisStorage):
    """The library's storage, with short time-outs and one retry, and with events that can be taken back."""

    STORAGE_SCHEME = []  # noqa: RUF012 - it is made by its class, not by a scheme

    def __init__(self, url: str) -> None:
        """Take a URL as the client has it (`redis`, `rediss`); Valkey speaks the same protocol."""
        self._client = Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 1)
        )
        super().__init__(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="pixyproxy",
            connection_pool=self._client.connection_pool,  # type: ignore[arg-type]  # as its documentation has it
        )

    async def release_entry(self, key: str) -> None:
        """Take the newest event of a key back: the first in the library's list of them."""
        await self._client.lpop(self.bridge.prefixed_key(key))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
