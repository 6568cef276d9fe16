"""Running the service on uvicorn until it is told to stop."""

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.containers import Container, opened
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_LAST_ANSWERS_S = 10.0
"""How long, once no generation is in flight, answers that are being sent may take to their end."""


class DrainingServer(uvicorn.Server):
    """A server that, told to stop, begins no generation any more but serves until those in flight are stored.

    Meanwhile `/readyz` says 503, so that a load balancer looks elsewhere. Told a second time, or at the end
    of the time to drain, it stops at once; what is left then is found again by the reconciler.
    """

    def __init__(self, config: uvicorn.Config, generations: GenerationRunner, drain_s: float) -> None:
        super().__init__(config)
        self._generations = generations
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None
        self._told = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called in the main thread for SIGTERM and SIGINT."""
        self._told += 1
        if self._told > 1:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second: begin to drain once told to stop."""
        if self._told and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        logger.info("told to stop: no generation is begun any more")
        if await self._generations.drain(self._drain_s):
            # Their callers will not be answered any more.
            self.config.timeout_graceful_shutdown = 0
        self.should_exit = True


def serve(settings: Settings, container: Container, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, after `announce` was called with the address.

    Raises SettingsError, before anything is served, if a part cannot be opened or the address not be bound.
    """
    asyncio.run(_try_out(container))
    listener = bind(settings.host, settings.port)
    config = uvicorn.Config(
        create_app(container),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(min(settings.drain_s, _LAST_ANSWERS_S)),
    )
    server = DrainingServer(config, container.generation_runner(), settings.drain_s)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own only while it runs. Before, being told to stop must not be missed; and
    # once it has stopped in good order it raises the signal again, which is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    host, port = listener.getsockname()[:2]
    announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    server.run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises SettingsError if the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        # `socket` words errors at length, and names that cannot be looked up have numbers of their own.
        number = None if isinstance(error, socket.gaierror | UnicodeError) else error.errno
        reason = os.strerror(number) if number else "there is no such host"
        raise SettingsError(
            f"PIXYPROXY_HOST, PIXYPROXY_PORT: cannot listen on {host} port {port} ({reason}); "
            "choose another or stop what is using it"
        ) from error


async def _try_out(container: Container) -> None:
    """Open and close everything once, so that a wrong setting is one line and not a failed start-up."""
    async with opened(container):
        pass
