"""The connections of a server together: their bounds, how many there may be, and a periodic look at each."""

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)

_LATE_S = 1.0
"""Seconds by which a sweep may be late before its lateness counts for the clients: a stopped process reads nothing."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of each connection, in bytes and seconds, and the number of connections (`most`)."""

    most: int
    head_bytes: int = 64 * 1024
    """Bytes of a request besides its body: request line, header fields, chunk extensions and trailers."""
    head_fields: int = 100
    head_s: float = 15.0
    """Time for the headers of a request, from its first byte or the start of the connection."""
    body_rate: int = 1024
    """Bytes of a body that have to come per second, on average."""
    body_grace_s: float = 15.0
    """Time for which a body may be late from its beginning on."""
    idle_s: float = 75.0
    """Time without a request: longer than proxies in front keep their connections, usually 60 s."""
    silence_s: float = 60.0
    """Time for which a client may neither send what it announced nor read what it requested."""
    read_bytes: int = 4096
    """Bytes of a response that a client has to take in that time."""
    linger_s: float = 2.0
    """Time in which a client can read why its connection ends."""
    sweep_s: float = 1.0
    """Time between two looks at all connections, and so the precision of the times above."""


class Connection(Protocol):
    """A connection as this module sees it."""

    def check(self, elapsed_s: float) -> None:
        """End the connection if its client is too slow; called after each `elapsed_s`."""

    def drop(self) -> None:
        """End the connection, which waits for a request."""


class Connections:
    """State that the connections of one server share.

    `now` is the time in seconds, which only `sweep` advances. One sweep a second costs less than a timer for every
    request. `open` holds all connections, `waiting` those that can be closed at once because no request is handled and
    no response read, the longest waiting first.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.now = 0.0
        self.open: set[Connection] = set()
        self.waiting: OrderedDict[Connection, None] = OrderedDict()
        self._swept_at = time.monotonic()
        self._is_full = False

    def make_room(self) -> bool:
        """Return whether there may be one more connection, dropping the longest waiting one if need be.

        A connection whose request is handled is never dropped for another.
        """
        if len(self.open) < self.limits.most:
            return True
        if not self._is_full:
            self._is_full = True
            logger.warning("all %d connections are taken: idle ones are closed for new ones", self.limits.most)
        if not self.waiting:
            return False
        oldest, _ = self.waiting.popitem(last=False)
        oldest.drop()
        return True

    def sweep(self) -> None:
        """Check all connections, if it is time to."""
        limits, now = self.limits, time.monotonic()
        elapsed_s = now - self._swept_at
        if elapsed_s < limits.sweep_s:
            return
        self._swept_at = now
        elapsed_s = min(elapsed_s, limits.sweep_s + _LATE_S)
        self.now += elapsed_s
        for connection in tuple(self.open):
            try:
                connection.check(elapsed_s)
            except Exception:
                logger.exception("a connection could not be checked")  # the others, and the server, go on
        if len(self.open) < limits.most * 0.9:
            self._is_full = False
