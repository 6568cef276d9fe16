"""Several processes that serve one port, and the process that starts, watches and stops them."""

import asyncio
import logging
import math
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from pixyproxy.containers import build_container
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.http.draining_server import (
    STOP_SIGNALS,
    DrainingServer,
    build_server,
    handle_stop_signals,
)
from pixyproxy.entrypoints.http.first_opening import open_once
from pixyproxy.entrypoints.http.metrics_folder import metrics_folder
from pixyproxy.entrypoints.http.service_manager import READY, STOPPING, notify
from pixyproxy.opening import PartError
from pixyproxy.settings import Settings

logger = logging.getLogger(__name__)

PING_TIMEOUT_S = 60.0
"""Seconds after which a worker that answers no ping is killed."""
_FORCED_EXIT_S = 5.0
"""Seconds that workers have to end at once before they are killed."""
_STABLE_S = 10.0
"""Seconds after which the end of a worker says nothing about the next one, which is started without delay."""
_LONGEST_DELAY_S = 30.0
_PING, _STOP = b"ping", b"stop"


class Worker(Process):
    """A serving process as the supervisor sees it; `target` runs in the process itself.

    The process obeys its supervisor only, through a pipe. When the supervisor dies, the process drains and ends.
    """

    _server: DrainingServer | None

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket], settings: Settings, number: int, metrics_folder: Path
    ) -> None:
        super().__init__(config, sockets)
        self._settings = settings
        self.number = number
        self._metrics_folder = metrics_folder
        self._pinged_at: float | None = None
        self.started_at = time.monotonic()
        self.has_served = False
        self.failure: PixyProxyException | None = None

    def start(self) -> None:
        """Start the process with the signals to stop blocked, so that those to the whole process group pass it by."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            # It is a process too, and its start unblocks SIGTERM and SIGINT.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.child_conn.close()

    def request_stop(self) -> None:
        """Ask the process to drain, the second time to end at once."""
        self._send(_STOP)

    def is_alive(self, timeout: float = PING_TIMEOUT_S) -> bool:
        """Return False if the process has ended or answered no ping for `timeout` seconds; waits for nothing."""
        now = time.monotonic()
        self._receive()
        if self._pinged_at is None:
            self._pinged_at = now
            self._send(_PING)
        return self.process.is_alive() and now - self._pinged_at < timeout

    def _receive(self) -> None:
        with suppress(EOFError, OSError):  # The process is ending.
            while self.parent_conn.poll():
                message: Any = self.parent_conn.recv()
                if isinstance(message, PixyProxyException):
                    self.failure = message
                else:
                    self._pinged_at = None
                    self.has_served = message

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # The process is ending.
            self.parent_conn.send(message)

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve until the supervisor asks to stop or is gone; this is what the process runs."""
        self.parent_conn.close()
        threading.Thread(target=self._obey, daemon=True).start()
        logs.configure("CRITICAL")
        try:
            container = build_container(self._settings)
            container.config.metrics_folder.from_value(self._metrics_folder)
            container.config.worker.from_value(self.number)
            asyncio.run(open_once(container))
        except PixyProxyException as error:
            self.child_conn.send(error)
            raise SystemExit(STARTUP_FAILURE) from None
        logs.configure(self._settings.log_level, self._settings.log_format)
        self._server = server = build_server(container)
        logger.info("worker %d serves as %s", os.getpid(), container.process_monitor().own_name)
        server.run(sockets)

    def _obey(self) -> None:
        """Answer pings and pass on requests to stop, until the pipe closes."""
        draining = False
        try:
            while True:
                if self.child_conn.recv() == _PING:
                    self.child_conn.send(self._server is not None and self._server.started)
                else:
                    draining = True
                    self._stop()
        except (EOFError, OSError):
            logger.error("the supervisor of worker %d is gone", os.getpid())
            if not draining:
                self._stop()

    def _stop(self) -> None:
        if self._server is None:
            os._exit(0)  # It is starting and serves nobody yet.
        self._server.request_stop()


class Supervisor(Multiprocess):
    """The process that starts the workers, replaces those that die, and asks all to stop when it is asked to.

    uvicorn's supervisor waits for the answer to each ping in turn and restarts workers on SIGHUP. This one waits for no
    answer, takes SIGHUP and SIGQUIT as requests to stop, and backs off before it replaces a worker that died early.
    """

    def __init__(self, settings: Settings, listener: socket, *, ping_timeout_s: float = PING_TIMEOUT_S) -> None:
        super().__init__(uvicorn.Config("", log_config=None, workers=settings.workers), [listener])
        self._settings = settings
        self._ping_timeout_s = ping_timeout_s
        self._workers: list[Worker] = []
        self._restarts: list[float] = []
        self._early_deaths = 0
        self._have_served = False
        self._failure: PixyProxyException | None = None
        self._stop_requests = self._stop_requests_passed_on = 0
        self._kill_at = math.inf
        self._metrics_folder = Path()
        handle_stop_signals(self._request_stop)

    def run(self) -> None:
        """Supervise until all workers have ended after a request to stop.

        Raises:
            SettingsError, PartError: if a worker could not start before any has served.
        """
        try:
            with metrics_folder() as self._metrics_folder:
                super().run()
        finally:
            for worker in self._workers:
                worker.parent_conn.close()
        if self._failure is not None:
            raise self._failure

    def init_processes(self) -> None:
        """Start all workers."""
        for _ in range(self.processes_num):
            self._start_worker()

    def handle_signals(self) -> None:
        """Pass on requests to stop; kill the workers at the third, or some seconds after the second."""
        self.signal_queue.clear()  # Signals that only uvicorn's supervisor knows.
        while self._stop_requests_passed_on < self._stop_requests:
            self._stop_requests_passed_on += 1
            notify(STOPPING)
            self._restarts.clear()
            for worker in self._workers:
                worker.request_stop()
            if self._stop_requests_passed_on > 1:
                self._kill_at = time.monotonic() + (_FORCED_EXIT_S if self._stop_requests_passed_on == 2 else 0)

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended or hang; asked to stop, wait until all have ended."""
        now = time.monotonic()
        for worker in list(self._workers):
            if not worker.is_alive(self._ping_timeout_s) or now >= self._kill_at:
                self._workers.remove(worker)
                self._bury(worker)
            if worker.has_served and not self._have_served:
                self._have_served = True
                notify(READY)
        while self._restarts and self._restarts[0] <= now:
            self._restarts.pop(0)
            self._start_worker()
        if self._stop_requests and not self._workers:
            self.should_exit.set()

    def _request_stop(self) -> None:
        self._stop_requests += 1

    def _start_worker(self) -> None:
        taken = {worker.number for worker in self._workers}
        number = next(number for number in range(self.processes_num) if number not in taken)
        worker = Worker(self.config, self.sockets, self._settings, number, self._metrics_folder)
        worker.start()
        self._workers.append(worker)

    def _bury(self, worker: Worker) -> None:
        """Kill a worker if it still runs, and schedule another one unless the service stops."""
        if worker.process.is_alive():
            logger.error("worker %s answers no ping or does not end: it is killed", worker.pid)
        worker.kill()
        worker.process.join()
        if self._stop_requests:
            return
        if worker.exitcode == STARTUP_FAILURE and not self._have_served:
            self._failure = worker.failure or PartError("A worker could not start; its log says why.")
            self._request_stop()
            return
        now = time.monotonic()
        died_early = now - worker.started_at < _STABLE_S
        self._early_deaths = self._early_deaths + 1 if died_early else 0
        delay_s = min(_LONGEST_DELAY_S, 2.0 ** (self._early_deaths - 1)) if died_early else 0.0
        reason = worker.failure.message if worker.failure else f"exit status {worker.exitcode}"
        logger.error("worker %s died (%s): another is started in %g s", worker.pid, reason, delay_s)
        self._restarts = sorted([*self._restarts, now + delay_s])
