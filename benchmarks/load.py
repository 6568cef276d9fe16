"""Control of load generators, each a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class LoadError(Exception):
    """A measurement that failed, or a response other than 200 or 304."""


@dataclass(frozen=True, slots=True)
class Responses:
    """Count, body bytes and latencies in seconds of the responses to one kind of request."""

    requests: int
    bytes: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Result:
    """The responses of a job and its length."""

    seconds: float
    kinds: dict[str, Responses]

    @property
    def rate(self) -> float:
        """Requests per second of all kinds."""
        return sum(answers.requests for answers in self.kinds.values()) / self.seconds


class LoadGenerator:
    """A load generator process; a context manager."""

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
        """Start a job, whose `result` must be called before the next one; `client.Load` explains the arguments."""
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
        """Wait for the end of the job. Raises LoadError if a request failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": "the load generator ended"}
        if "error" in found:
            raise LoadError(found["error"])
        for label, numbers in found["labels"].items():
            if numbers["refused"]:
                raise LoadError(
                    f"{numbers['refused']} of {numbers['requests']} requests ({label}) did not get 200 or 304"
                )
        kinds = {
            label: Responses(numbers["requests"], numbers["bytes"], numbers["p50"], numbers["p99"])
            for label, numbers in found["labels"].items()
        }
        return Result(found["seconds"], kinds)

    def run(self, url: str, requests: Iterable[tuple[str, str]], *, connections: int, seconds: float) -> Result:
        """Run a job that keeps these connections busy, and return its result."""
        self.start(url, requests, connections=connections, seconds=seconds)
        return self.result()


def get(path: str, headers: dict[str, str] | None = None) -> str:
    """Return the text of a GET request."""
    lines = [f"GET {path} HTTP/1.1", "Host: benchmark", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""])


def post(path: str, document: object, headers: dict[str, str] | None = None) -> str:
    """Return the text of a POST request with a JSON body."""
    body = json.dumps(document)  # ASCII, so that characters are bytes
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: benchmark",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{k}: {v}" for k, v in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", body])
