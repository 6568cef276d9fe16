"""Accepting connections, with a pause while there are too few open files for another one."""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

logger = logging.getLogger(__name__)

_PAUSE_S = 1.0


class Acceptor:
    """Accepts the connections of a listening socket and gives each a protocol.

    uvloop's own way is faster by some 15 µs. But where no file can be opened it resets the clients that wait, and asks
    again and again, at the cost of a whole core. Here they wait.
    """

    def __init__(self, listener: socket.socket, create_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._create_protocol = create_protocol
        self._connecting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_short = False
        listener.setblocking(False)

    def start(self) -> None:
        """Accept connections until `stop`."""
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def stop(self) -> None:
        """Accept no more connections; the socket stays open."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()

    def _accept(self) -> None:
        # One at a time, so that several workers get their shares.
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if not self._is_short:
                self._is_short = True
                logger.error("no connection can be accepted: %s", error)
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(_PAUSE_S, self.start)
            return
        self._is_short = False
        task = asyncio.ensure_future(self._loop.connect_accepted_socket(self._create_protocol, accepted))
        self._connecting.add(task)
        task.add_done_callback(partial(self._connected, accepted))

    def _connected(self, accepted: socket.socket, task: "asyncio.Task[object]") -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("an accepted connection was lost: %s", error)
            accepted.close()
