"""The first opening of a service's parts, which finds wrong settings and waits for a database that is late."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from pixyproxy.containers import Container
from pixyproxy.domain.errors import DBConnectionError, DBRefusedError
from pixyproxy.opening import bind_store, opened
from pixyproxy.settings import SettingsError

OnWait: TypeAlias = Callable[[str], None]
"""Callback that receives the reason once when waiting begins."""

_RETRY_EVERY_S = 0.5


async def open_once(container: Container, on_wait: OnWait = lambda _: None) -> bool:
    """Open, bind and close all parts, so that a wrong setting is one line instead of a failed start of the server.

    Return whether there is an administrator.

    A database that cannot be reached is tried again for PIXYPROXY_START_WAIT_S seconds: after a restart of the host it
    may start later than the service. One that refuses the login or has the wrong tables is not.

    Raises:
        SettingsError, PartError: as `opened` and `bind_store` do.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + container.config.start_wait_s()
    waits = False
    while True:
        try:
            async with opened(container):
                await bind_store(container)
                return await container.user_service().has_admin()
        except (SettingsError, DBConnectionError) as error:
            cause = error.__cause__ if isinstance(error, SettingsError) else error
            if not isinstance(cause, DBConnectionError) or isinstance(cause, DBRefusedError):
                raise
            if loop.time() + _RETRY_EVERY_S > deadline:
                raise
            if not waits:
                waits = True
                on_wait(cause.message)
        await asyncio.sleep(_RETRY_EVERY_S)
