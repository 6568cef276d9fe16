"""Runner of commands that need the service's parts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pixyproxy.containers import Container, build_container, opened
from pixyproxy.environment import load_settings

T = TypeVar("T")


def run_with_container(action: Callable[[Container], Awaitable[T]]) -> T:
    """Open the parts that the settings choose, run the action with them, and close them."""

    async def run() -> T:
        async with opened(build_container(load_settings())) as container:
            return await action(container)

    return asyncio.run(run())
