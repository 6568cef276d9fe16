"""`python -m benchmarks.trickle`: reads beside clients that send a byte a second, and the time until these end."""

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from rich.console import Console

from benchmarks.compare import Report, Row, in_turns, ratio
from benchmarks.fill import add_images
from benchmarks.load import LoadGenerator, get
from benchmarks.memory import processor_seconds
from benchmarks.report import table
from benchmarks.services import running_service

_BEGINNINGS = (
    b"GET /image HTTP/1.1\r\nX-Slow: ",
    b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
    b"POST /image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;",
)
"""Headers, bodies and chunk extensions that never end."""
_DEADLINE_S = 15.0
_SETTLED_S = 2.0
"""Seconds until that many connections and requests have begun, which is work like any other."""
_AIM = 2.0


class Trickle:
    """Connections that send a byte a second; `lives` are the seconds after which each was ended by the server."""

    def __init__(self, url: str, count: int) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._count = count
        self._open: dict[socket.socket, float] = {}
        self.lives: list[float] = []

    def connect(self) -> None:
        """Open the connections and send the beginning of a request on each."""
        for number in range(self._count):
            connection = socket.create_connection(self._address)
            connection.sendall(_BEGINNINGS[number % len(_BEGINNINGS)])
            connection.setblocking(False)
            self._open[connection] = time.monotonic()

    def go_on(self) -> int:
        """Send a byte on each connection that is open, and return how many there are."""
        for connection, since in list(self._open.items()):
            ended = True
            with suppress(BlockingIOError):
                try:
                    while connection.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
                except BlockingIOError:
                    ended = False
                    connection.send(b"a")
            if ended:
                self.lives.append(time.monotonic() - since)
                del self._open[connection]
                connection.close()
        return len(self._open)

    def close(self) -> None:
        """Close the connections that are left."""
        for connection in self._open:
            connection.close()


@contextmanager
def _trickling(url: str, count: int, lives: list[float]) -> Iterator[None]:
    """Send a byte a second on so many connections meanwhile, and then until the server has ended all of them."""
    trickle, may_end = Trickle(url, count), threading.Event()
    trickle.connect()

    def run() -> None:
        while trickle.go_on():
            may_end.wait(1)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(_SETTLED_S)
    try:
        yield
    finally:
        thread.join(4 * _DEADLINE_S)
        may_end.set()
        trickle.close()
        lives += trickle.lives


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trickle", description="Read beside slow clients.")
    parser.add_argument("--connections", type=int, default=500, help="number of slow clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a sample, less than 15")
    parser.add_argument("--rate", type=float, default=100.0, help="reads per second")
    arguments = parser.parse_args()
    console, lives = Console(width=120), list[float]()
    with (
        tempfile.TemporaryDirectory(prefix="pixyproxy-bench-") as name,
        running_service(Path(name)) as running,
        LoadGenerator() as load,
        console.status("reading"),
    ):
        requests = [("details", get(f"/image/{guid}")) for guid in add_images(running.url, 16, 1)]

        def read() -> tuple[float, float]:
            """Return the p99 and the service's processor time for a read, in milliseconds."""
            before = processor_seconds(running.pid)
            load.start(running.url, requests, connections=8, seconds=arguments.seconds, rate=arguments.rate)
            found = load.result().kinds["details"]
            return found.p99 * 1000, (processor_seconds(running.pid) - before) * 1000 / found.requests

        def read_beside() -> tuple[float, float]:
            with _trickling(running.url, arguments.connections, lives):
                return read()

        alone, beside = in_turns([read, read_beside], arguments.rounds, lambda: None)
    rows = []
    for number, what in enumerate(("p99", "processor time of the service for a read")):
        values, bases = [sample[number] for sample in beside], [sample[number] for sample in alone]
        rows.append(Row(what, median(values), median(bases), ratio(values, bases), at_most=_AIM))
    title = f"Reads beside {arguments.connections} clients that send a byte a second"
    console.print(table(Report(title, "ms", "alone", rows)))
    ended = len(lives) / (arguments.rounds + 1) / arguments.connections
    console.print(f"{ended:.0%} of them were ended by the server, after {min(lives):.1f} to {max(lives):.1f} s")


if __name__ == "__main__":
    main()
