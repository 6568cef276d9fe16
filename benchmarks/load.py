"""Drives load generators, each a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class LoadError(Exception):
    """A measurement did not come about, or something was not answered with 200 or 304."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back for one kind of request; latencies in seconds, `bytes` those of all bodies."""

    requests: int
    bytes: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came back for a job, and how long it took."""

    seconds: float
    kinds: dict[str, Answers]

    @property
    def rate(self) -> float:
        """Requests answered per second, all kinds together."""
        return sum(answers.requests for answers in self.kinds.values()) / self.seconds


class LoadGenerator:
    """A load generator; hold it in `with`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if error is not None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def start(
        self,
        url: str,
        requests: Iterable[tuple[str, str]],
        *,
        connections: int,
        seconds: float,
        rate: float | None = None,
        ramp_s: float = 0.0,
    ) -> None:
        """Begin a job, whose `result` has to be asked for before the next; see `client.Load`."""
        parts = urlsplit(url)
        job = {
            "host": parts.hostname,
            "port": parts.port,
            "requests": list(requests),
            "connections": connections,
            "seconds": seconds,
            "rate": rate,
            "ramp_s": ramp_s,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def result(self) -> Result:
        """Wait for the job to end; raises LoadError if anything went otherwise than it should."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": "the load generator ended"}
        if "error" in found:
            raise LoadError(found["error"])
        for label, numbers in found["labels"].items():
            if numbers["refused"]:
                raise LoadError(
                    f"{numbers['refused']} of {numbers['requests']} requests ({label}) were not answered 200 or 304"
                )
        kinds = {
            label: Answers(numbers["requests"], numbers["bytes"], numbers["p50"], numbers["p99"])
            for label, numbers in found["labels"].items()
        }
        return Result(found["seconds"], kinds)

    def run(self, url: str, requests: Iterable[tuple[str, str]], *, connections: int, seconds: float) -> Result:
        """Keep that many connections busy for that long."""
        self.start(url, requests, connections=connections, seconds=seconds)
        return self.result()


def get(path: str, headers: dict[str, str] | None = None) -> str:
    """A GET request as it goes over the wire."""
    lines = [f"GET {path} HTTP/1.1", "Host: benchmark", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""])


def post(path: str, document: object, headers: dict[str, str] | None = None) -> str:
    """A POST request with a JSON body as it goes over the wire."""
    body = json.dumps(document)  # ASCII, so that characters are bytes
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: benchmark",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{k}: {v}" for k, v in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", body])
