"""The load generator: a process that reads one job per line of JSON and prints counts and latencies for each.

It knows just enough HTTP/1.1 to send prepared requests on persistent connections and to count the bytes of the
responses, so that on a machine with two cores it costs a fraction of the server that it measures.
"""

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvloop

_BUFFER_BYTES = 256 * 1024
_PATIENCE_S = 60
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(slots=True)
class Tally:
    """Latencies in seconds and body bytes of the responses to the requests of one label."""

    latencies: list[float] = field(default_factory=list)
    bytes: int = 0
    refused: int = 0

    def summary(self) -> dict[str, float]:
        """Return counts and percentiles; latencies are 0 without a response."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            "requests": len(self.latencies),
            "refused": self.refused,
            "bytes": self.bytes,
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
        }


@dataclass(slots=True)
class Load:
    """A job: requests to send in turn over some connections.

    `rate` is in requests per second over all connections; None means as many as possible. Connections start one after
    the other within `ramp_s`, and no request is sent later than `seconds` after the first.
    """

    requests: Iterator[tuple[str, bytes]]
    connections: int
    seconds: float
    rate: float | None
    ramp_s: float
    tallies: dict[str, Tally]


class Connection(asyncio.BufferedProtocol):
    """A persistent connection with one request at a time."""

    def __init__(self, load: Load, first_at: float, until: float, finished: "asyncio.Future[None]") -> None:
        self._load = load
        self._due = first_at
        self._until = until
        self._interval = None if load.rate is None else load.connections / load.rate
        self._finished = finished
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._have = 0
        self._body_left = 0
        self._tally = Tally()
        self._began = 0.0
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the time of the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._wait()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for received bytes; bodies are counted and overwritten."""
        return self._view if self._body_left else self._view[self._have :]

    def buffer_updated(self, nbytes: int) -> None:
        """Count bytes of a body, or parse the headers once they are complete."""
        if self._body_left:
            self._body_left -= nbytes
        else:
            self._have += nbytes
            end = self._buffer.find(b"\r\n\r\n", 0, self._have)
            if end < 0:
                return
            self._read_head(bytes(self._view[:end]), self._have - end - 4)
        if self._body_left == 0:
            self._complete_response()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the job, which is invalid without this connection."""
        if not self._finished.done():
            self._finished.set_exception(exc or ConnectionError("the server closed a connection"))

    def _read_head(self, head: bytes, body_bytes: int) -> None:
        status = head[9:12]
        # A 304 has no body, though it may have a Content-Length.
        length = 0 if status == b"304" else int(_LENGTH.search(head)[1])  # type: ignore[index]
        self._body_left = length - body_bytes
        self._have = 0
        self._tally.bytes += length
        if status not in {b"200", b"304"}:
            self._tally.refused += 1

    def _complete_response(self) -> None:
        now = time.perf_counter()
        self._tally.latencies.append(now - self._began)
        self._busy = False
        if self._interval is None:
            self._due = now
        else:
            self._due += self._interval
        if self._due >= self._until or now >= self._until:
            self._end()
        elif self._due <= now:
            # Late because the previous response was: the server is responsible for this wait.
            self._send(self._due)
        else:
            self._wait()

    def _wait(self) -> None:
        self._loop.call_later(max(0.0, self._due - time.perf_counter()), self._turn)

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._interval is None:
            self._due = now
        if now >= self._until:
            self._end()
        else:
            # The server is not responsible for a late timer.
            self._send(now)

    def _send(self, began: float) -> None:
        label, request = next(self._load.requests)
        self._tally = self._load.tallies.setdefault(label, Tally())
        self._began = began
        self._transport.write(request)

    def _end(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)
        self._transport.close()


async def run(host: str, port: int, load: Load) -> dict[str, Any]:
    """Run a job and return its result, whose `seconds` last from the first request to the last response."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    until = began + load.seconds
    finished: list[asyncio.Future[None]] = []
    spread_s = load.ramp_s if load.rate is None else load.connections / load.rate
    for number in range(load.connections):
        done: asyncio.Future[None] = loop.create_future()
        finished.append(done)
        connection = partial(Connection, load, began + spread_s * number / load.connections, until, done)
        await loop.create_connection(connection, host, port)
    async with asyncio.timeout(load.seconds + _PATIENCE_S):
        await asyncio.gather(*finished)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "labels": {label: tally.summary() for label, tally in load.tallies.items()}}


async def take_jobs() -> None:
    """Read jobs from standard input until it ends; write each result or `{"error": …}` to standard output."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        requests = [(label, text.encode()) for label, text in job["requests"]]
        load = Load(
            itertools.cycle(requests), job["connections"], job["seconds"], job["rate"], job["ramp_s"], tallies={}
        )
        try:
            result = await run(job["host"], job["port"], load)
        except (OSError, ValueError) as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    uvloop.run(take_jobs())
