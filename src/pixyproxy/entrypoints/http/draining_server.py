"""The server of one process, which drains when it is asked to stop."""

import asyncio
import gc
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from socket import socket
from typing import Any

import uvicorn

from pixyproxy.application.generation.runner import GenerationRunner
from pixyproxy.containers import Container
from pixyproxy.entrypoints.http.connection.acceptor import Acceptor
from pixyproxy.entrypoints.http.connection.bounded_protocol import BoundedProtocol
from pixyproxy.entrypoints.http.connection.connections import ConnectionLimits, Connections
from pixyproxy.entrypoints.http.connection.open_files import most_connections
from pixyproxy.entrypoints.http.service_manager import READY, STOPPING

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_NO_STOP_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that have other servers open their logs again; without a handler they would end the process at once."""
_DUPLICATE_S = 0.3
_LAST_RESPONSES_S = 10.0
"""Seconds that responses being sent may take once no generation is in flight."""


class DrainingServer(uvicorn.Server):
    """A server that, asked to stop, starts no generation but serves until those in flight are stored.

    Meanwhile `/readyz` answers 503, so that a load balancer looks elsewhere. A second request to stop, or the end of
    the drain time, ends it at once: requests are cancelled, which `ErrorMiddleware` answers, and the reconciler
    settles the generations that are left.
    """

    def __init__(
        self, config: uvicorn.Config, connections: Connections, generations: GenerationRunner, drain_s: float
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._generations = generations
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None
        self._stop_requests = 0
        self._acceptors: list[Acceptor] = []
        self.on_state: Callable[[str], None] = lambda state: None
        """Called when the server is ready, and when it begins to stop."""

    def request_stop(self) -> None:
        """Ask to drain, the second time to end at once; safe in signal handlers and other threads."""
        self._stop_requests += 1
        if self._stop_requests > 1:
            self._end_at_once()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `handle_stop_signals`, or in a worker to the supervisor."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start to listen, with what was imported and built until now left out of garbage collection.

        It stays for good, and a collection that looks at all of it stops the event loop for 100 ms and more.
        """
        asyncio.get_running_loop().set_default_executor(started_threads())
        await super().startup([])
        gc.collect()
        gc.freeze()
        create: Any = self.config.http_protocol_class
        create = partial(create, self.config, self.server_state, self.lifespan.state)
        self._acceptors = [Acceptor(listener, create) for listener in sockets or ()]
        for acceptor in self._acceptors:
            acceptor.start()
        self.on_state(READY)

    async def on_tick(self, counter: int) -> bool:
        """Look at all connections, and start to drain once asked to stop; uvicorn calls this ten times a second."""
        self._connections.sweep()
        if self._stop_requests and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop listening, wait for responses unless asked to end at once, and close the application."""
        if self._stop_requests > 1:
            self._generations.begin_drain(0)
        for acceptor in self._acceptors:
            acceptor.stop()
        await super().shutdown(sockets)

    def _end_at_once(self) -> None:
        self.config.timeout_graceful_shutdown = 0
        self.should_exit = True

    async def _drain(self) -> None:
        self.on_state(STOPPING)
        logger.info("draining: no generation is started any more")
        if await self._generations.drain(self._drain_s):
            # The callers of those left would wait in vain.
            self._end_at_once()
        self.should_exit = True


def started_threads() -> ThreadPoolExecutor:
    """Return a pool whose threads run already: later it may be impossible to start one, for a picture that is paid."""
    count = min(32, (os.cpu_count() or 1) + 4)
    pool = ThreadPoolExecutor(count, "blocking")
    all_run = threading.Barrier(count)  # keeps each thread busy until the last is started
    try:
        for _ in range(count):
            pool.submit(all_run.wait)
    except RuntimeError as error:
        logger.warning("not all threads could be started: %s", error)
        all_run.abort()
    return pool


def build_server(container: Container, limits: ConnectionLimits | None = None) -> DrainingServer:
    """Return a server of the container's application, which is not running yet; tests give other limits."""
    # The supervisor of several workers imports this module and needs no application.
    from pixyproxy.entrypoints.http.app import create_app

    drain_s = container.config.drain_s()
    connections = Connections(limits or ConnectionLimits(most=most_connections(container.settings())))
    config = uvicorn.Config(
        create_app(container),
        http=partial(BoundedProtocol, connections=connections),  # type: ignore[arg-type]  # called like the class
        ws="none",
        proxy_headers=False,  # the application reads them itself
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(min(drain_s, _LAST_RESPONSES_S)),
    )
    return DrainingServer(config, connections, container.generation_runner(), drain_s)


def handle_stop_signals(request_stop: Callable[[], None]) -> None:
    """Call `request_stop` for each SIGTERM, SIGINT, SIGHUP or SIGQUIT.

    Signals within 0.3 s count once: `make`, for one, passes on what its whole process group got already. SIGUSR1 and
    SIGUSR2, by which habit asks servers for other things, are ignored.
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
    for number in _NO_STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.SIG_IGN)
