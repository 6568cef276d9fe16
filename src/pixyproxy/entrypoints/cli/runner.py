"""Runner of commands that need the service's parts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pixyproxy.containers import Container, build_container
from pixyproxy.entrypoints import logs
from pixyproxy.environment import load_settings
from pixyproxy.opening import opened
from pixyproxy.settings import SettingsError

T = TypeVar("T")


def run_with_container(action: Callable[[Container], Awaitable[T]]) -> T:
    """Open the parts that the settings choose, run the action with them, and close them."""

    settings = load_settings()
    if "log_level" in settings.model_fields_set:
        # Else commands log warnings only: what they do, they print.
        logs.configure(settings.log_level, settings.log_format)

    async def run() -> T:
        async with opened(build_container(settings)) as container:
            return await action(container)

    return asyncio.run(run())


def run_with_accounts(action: Callable[[Container], Awaitable[T]]) -> T:
    """Run an action on users or keys, as `run_with_container` does.

    Raises:
        SettingsError: if the repository would forget them when the command ends.
    """
    if load_settings().repository == "memory":
        raise SettingsError(
            "PIXYPROXY_REPOSITORY: memory keeps users and keys in one process only: what this command does would be "
            "forgotten at its end, and no running service would see it; use sqlite or mysql for both"
        )
    return run_with_container(action)
