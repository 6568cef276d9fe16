"""The server of one process, which drains when it is asked to stop."""

import asyncio
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.containers import Container
from pixyproxy.entrypoints.http.http_protocol import HTTPProtocol

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
KEEP_ALIVE_S = 75
"""Seconds that an idle connection stays open: longer than proxies in front keep theirs, usually 60."""
_DUPLICATE_S = 0.3
_LAST_RESPONSES_S = 10.0
"""Seconds that responses being sent may take once no generation is in flight."""


class DrainingServer(uvicorn.Server):
    """A server that, asked to stop, starts no generation but serves until those in flight are stored.

    Meanwhile `/readyz` answers 503, so that a load balancer looks elsewhere. A second request to stop, or the end of
    the drain time, ends it at once: requests are cancelled, which `ErrorMiddleware` answers, and the reconciler
    settles the generations that are left.
    """

    def __init__(self, config: uvicorn.Config, generations: GenerationRunner, drain_s: float) -> None:
        super().__init__(config)
        self._generations = generations
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None
        self._stop_requests = 0

    def request_stop(self) -> None:
        """Ask to drain, the second time to end at once; safe in signal handlers and other threads."""
        self._stop_requests += 1
        if self._stop_requests > 1:
            self._end_at_once()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `handle_stop_signals`, or in a worker to the supervisor."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Start to drain once asked to stop; uvicorn calls this ten times a second."""
        if self._stop_requests and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop listening, wait for responses unless asked to end at once, and close the application."""
        if self._stop_requests > 1:
            self._generations.begin_drain(0)
        await super().shutdown(sockets)

    def _end_at_once(self) -> None:
        self.config.timeout_graceful_shutdown = 0
        self.should_exit = True

    async def _drain(self) -> None:
        logger.info("draining: no generation is started any more")
        if await self._generations.drain(self._drain_s):
            # The callers of those left would wait in vain.
            self._end_at_once()
        self.should_exit = True


def build_server(container: Container) -> DrainingServer:
    """Return a server of the container's application, which is not running yet."""
    # The supervisor of several workers imports this module and needs no application.
    from pixyproxy.entrypoints.http.app import create_app

    drain_s = container.config.drain_s()
    config = uvicorn.Config(
        create_app(container),
        http=HTTPProtocol,
        ws="none",
        proxy_headers=False,  # the application reads them itself
        timeout_keep_alive=KEEP_ALIVE_S,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(min(drain_s, _LAST_RESPONSES_S)),
    )
    return DrainingServer(config, container.generation_runner(), drain_s)


def handle_stop_signals(request_stop: Callable[[], None]) -> None:
    """Call `request_stop` for each SIGTERM, SIGINT, SIGHUP or SIGQUIT.

    Signals within 0.3 s count once: `make`, for one, passes on what its whole process group got already.
    """
    last = -math.inf

    def handle(*_: object) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > _DUPLICATE_S:
            request_stop()

    for number in STOP_SIGNALS:
        # `nohup` ignores SIGHUP for a service that is to outlive its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)
