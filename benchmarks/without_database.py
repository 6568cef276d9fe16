"""`pixyproxy serve` in memory, with a user that no other process could add to its roster."""

import asyncio
import sys

from pixyproxy.containers import Container, build_container
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.http.server import serve
from pixyproxy.environment import load_settings
from pixyproxy.opening import opened


def main(username: str, password: str) -> None:
    """Serve until a signal to stop."""
    settings = load_settings()
    container = build_container(settings)
    asyncio.run(_add_user(container, username, password))

    def announce(address: str, has_administrator: bool) -> None:
        logs.configure(settings.log_level)
        print(f"address {address}", flush=True)

    serve(settings, container, announce)


async def _add_user(container: Container, username: str, password: str) -> None:
    async with opened(container):
        await container.user_service().add(username, password)


if __name__ == "__main__":
    main(*sys.argv[1:])
